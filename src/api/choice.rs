//! Fields that accept one of a few names.

/// Reads an enum from its names, and refuses anything else by listing them. A value that JSON writes as a number is accepted as such.
macro_rules! choices {
    ($type:ident { $($name:literal => $variant:ident),* $(,)? } expecting $expected:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Names;

                impl Names {
                    fn find<E: serde::de::Error>(name: &str) -> Result<$type, E> {
                        match name {
                            $($name => Ok($type::$variant),)*
                            other => Err(E::custom(format_args!("`{other}` is not one of {}", $expected))),
                        }
                    }
                }

                impl serde::de::Visitor<'_> for Names {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$type, E> {
                        Self::find(name)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        Self::find(&number.to_string())
                    }

                    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<$type, E> {
                        Self::find(&number.to_string())
                    }
                }

                deserializer.deserialize_any(Names)
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(Self::$variant),)*
                    other => Err(format!("`{other}` is not one of {}", $expected)),
                }
            }
        }

        $crate::api::value::field_values!($type);
    };
}
pub(crate) use choices;
