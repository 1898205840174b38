//! A query string, described by the same schema as a body.

use std::marker::PhantomData;

use serde_json::{Map, Value};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

use super::parts::inlined;

/// The parameters of a query string that is read as `T`: one for each field.
pub(in crate::http) struct QueryOf<T>(PhantomData<T>);

impl<T: ToSchema> IntoParams for QueryOf<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut schemas = Vec::new();
        T::schemas(&mut schemas);
        let all: Map<String, Value> =
            schemas.into_iter().map(|(name, schema)| (name, json(&schema))).collect();
        let object = inlined(&json(&T::schema()), &all);
        let properties = object["properties"].as_object().into_iter().flatten();
        properties.map(|(name, schema)| parameter(name, schema.clone())).collect()
    }
}

fn json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("bug: a schema has only string keys")
}

/// Of a value that is a text or an object, a query string holds the text.
fn keep_text(schema: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = schema.get("oneOf") else { return };
    let Some(Value::Object(text)) = alternatives.iter().find(|schema| schema["type"] == "string").cloned()
    else {
        return;
    };
    schema.remove("oneOf");
    schema.extend(text);
}

fn parameter(name: &str, mut schema: Value) -> Parameter {
    let fields = schema.as_object_mut().expect("bug: the schema of a field is an object");
    let description = fields.remove("description");
    keep_text(fields);
    let schema: RefOr<Schema> = serde_json::from_value(schema).expect("bug: it was a schema before");
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(description.as_ref().and_then(Value::as_str))
        .schema(Some(schema))
        .build()
}
