//! `/word/predict` and `/character/predict`: predictions in the shape of Imagineville's API, with `--enable aac`.

use super::document::QueryOf;
use super::error::ApiResult;
use super::extract::{Query, UseCases};
use super::json::Json;
use crate::api::aac::{Futures, PredictQuery, Predictions};
use crate::service::Predicted;

/// Predict the next word
///
/// The most likely words after `left` that begin with `prefix`, whatever its case.
#[utoipa::path(get, path = "/word/predict", operation_id = "predictWords", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The words", body = Predictions)))]
pub(super) async fn words(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Predictions>> {
    Ok(Json(service.predict(Predicted::Words, &query).await?))
}

/// Predict words after each next character
///
/// For each character that may follow `prefix`, the words that begin with both.
#[utoipa::path(get, path = "/word/predict/future", operation_id = "predictWordsAfterCharacters", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The words after each character", body = Futures)))]
pub(super) async fn words_after_characters(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Futures>> {
    Ok(Json(service.predict_after_characters(Predicted::Words, &query).await?))
}

/// Predict words after each next word
///
/// For each word that may come after `left` and begins with `prefix`, the words that may follow it.
#[utoipa::path(get, path = "/word/predict/next/future", operation_id = "predictWordsAfterWords", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The words after each word", body = Futures)))]
pub(super) async fn words_after_words(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Futures>> {
    Ok(Json(service.predict_after_words(Predicted::Words, &query).await?))
}

/// Predict the next character
///
/// The most likely characters after `left` and `prefix`, which are one text. A model of words adds up the words that begin with its last,
/// unfinished word; models of parts of words predict no characters.
#[utoipa::path(get, path = "/character/predict", operation_id = "predictCharacters", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The characters", body = Predictions)))]
pub(super) async fn characters(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Predictions>> {
    Ok(Json(service.predict(Predicted::Characters, &query).await?))
}

/// Predict characters after each next character
///
/// For each character that may come next, the characters that may follow it.
#[utoipa::path(get, path = "/character/predict/future", operation_id = "predictCharactersAfterCharacters", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The characters after each character", body = Futures)))]
pub(super) async fn characters_after_characters(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Futures>> {
    Ok(Json(service.predict_after_characters(Predicted::Characters, &query).await?))
}

/// Predict characters after each next word
///
/// For each word that may come after `left` and begins with `prefix`, the characters that may follow it and a space.
#[utoipa::path(get, path = "/character/predict/next/future", operation_id = "predictCharactersAfterWords", tag = "aac", params(QueryOf<PredictQuery>),
    responses((status = 200, description = "The characters after each word", body = Futures)))]
pub(super) async fn characters_after_words(
    UseCases(service): UseCases,
    Query(query): Query<PredictQuery>,
) -> ApiResult<Json<Futures>> {
    Ok(Json(service.predict_after_words(Predicted::Characters, &query).await?))
}
