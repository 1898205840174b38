//! Use case: the words that are nearest in the embedding, by the cosine (Mikolov et al. 2013: sums of unit vectors).

use std::sync::Arc;

use super::Service;
use super::bounds::Bound;
use super::explain::inside;
use super::threads::Abandoned;
use super::tokens::token;
use crate::api::neighbors::{Neighbor, NeighborsRequest, NeighborsResponse};
use crate::api::prompt::Word;
use crate::api::question::Shown;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::text::Tail;

/// A direction in the embedding, as tokens.
#[derive(Default)]
struct Direction {
    positive: Vec<TokenId>,
    negative: Vec<TokenId>,
    /// The field of the request that gives it.
    param: &'static str,
}

/// A token and its cosine.
struct Near {
    token: TokenId,
    similarity: f64,
}

impl Service {
    /// Lists the tokens nearest to a token, or to a sum of tokens.
    ///
    /// # Errors
    /// `NotSupported` for a model that is not run natively; whatever is wrong with the request; too many requests waiting.
    pub async fn neighbors(&self, request: NeighborsRequest) -> Result<NeighborsResponse> {
        let served = self.named_model(request.model.as_deref())?;
        inside(&served)?;
        let limits = &self.config.limits;
        let top_k = request.top_k.unwrap_or(Shown::TOP_K_DEFAULT.min(limits.max_top_k));
        Bound { param: "top_k", max: limits.max_top_k, option: "--max-top-k" }.number(top_k)?;
        let direction = self.direction(&served, request)?;
        let of = served.clone();
        let nearest = self.beside(move |abandoned| direction.nearest(&of, top_k, &abandoned)).await?;
        let neighbors = nearest.into_iter().map(|near| Neighbor {
            token: token(&served, &Tail::default(), near.token),
            similarity: near.similarity,
        });
        Ok(NeighborsResponse { model: served.name.to_string(), neighbors: neighbors.collect() })
    }

    fn direction(&self, served: &Arc<Served>, request: NeighborsRequest) -> Result<Direction> {
        let NeighborsRequest { token, positive, negative, .. } = request;
        let has_lists = !(positive.is_empty() && negative.is_empty());
        match token {
            Some(_) if has_lists => {
                let message =
                    "`token` is given beside `positive` or `negative`; only one of them is accepted";
                Err(Error::invalid("token", message))
            }
            Some(word) => {
                let positive = vec![self.single_token(served, &word, "token")?];
                Ok(Direction { positive, negative: Vec::new(), param: "token" })
            }
            None if !has_lists => {
                let message = "no token is given; `token`, `positive` or `negative` is required";
                Err(Error::new(ErrorKind::EmptyInput, message).at("token"))
            }
            None => Ok(Direction {
                positive: self.tokens_of(served, &positive, "positive")?,
                negative: self.tokens_of(served, &negative, "negative")?,
                param: "positive",
            }),
        }
    }

    fn tokens_of(&self, served: &Served, words: &[Word], param: &str) -> Result<Vec<TokenId>> {
        let max = self.config.limits.max_neighbor_words;
        Bound { param, max, option: "--max-neighbor-words" }.entries(words.len())?;
        let each = words.iter().enumerate();
        each.map(|(index, word)| self.single_token(served, word, &format!("{param}[{index}]"))).collect()
    }
}

impl Direction {
    /// The `top_k` nearest tokens, the nearest first, equal ones by id.
    fn nearest(&self, served: &Served, top_k: usize, wanted: &Abandoned) -> Result<Vec<Near>> {
        let inside = inside(served)?;
        let width = inside.embedding_size();
        let unit = |token: TokenId| {
            let mut vector = vec![0.0; width];
            inside.copy_embedding(token, &mut vector);
            let vector: Vec<f64> = vector.into_iter().map(f64::from).collect();
            let length = dot(&vector, &vector).sqrt();
            // A vector of zeros has no direction.
            if length > 0.0 { vector.into_iter().map(|value| value / length).collect() } else { vector }
        };
        let mut sum = vec![0.0; width];
        let signed = self.positive.iter().map(|&token| (token, 1.0));
        for (token, sign) in signed.chain(self.negative.iter().map(|&token| (token, -1.0))) {
            sum.iter_mut().zip(unit(token)).for_each(|(sum, value)| *sum += sign * value);
        }
        let length = dot(&sum, &sum).sqrt();
        if length < 1e-9 {
            let message = "the tokens have no direction: their vectors are zero or cancel each other";
            return Err(Error::invalid(self.param, message));
        }
        let vocab_size = served.tokenizer.vocab_size().min(served.model.info().vocab_size);
        let mut all = Vec::with_capacity(vocab_size);
        for token in 0..vocab_size as TokenId {
            if token.is_multiple_of(4096) {
                wanted.check()?;
            }
            if !self.positive.contains(&token) && !self.negative.contains(&token) {
                all.push(Near { token, similarity: dot(&unit(token), &sum) / length });
            }
        }
        all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.token.cmp(&b.token)));
        all.truncate(top_k);
        Ok(all)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
