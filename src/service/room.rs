//! The memory of answers: each has a limit, and so have all together, until they have been sent.
//!
//! What an answer takes is estimated from what its request asks for, before any work is done for it. So a request that is refused has
//! moved no session, and nothing is computed that could not be sent.

use std::sync::Arc;

use super::Service;
use super::state::{Brought, cache_len, encoded_len, exported_len};
use crate::api::independent::Independent;
use crate::api::mixture::MixturePart;
use crate::api::next::{NextRequest, SessionNextRequest};
use crate::api::prompt::Word;
use crate::api::question::Question;
use crate::api::rescore::RescoreRequest;
use crate::api::state::Carried;
use crate::budget::{Exceeded, Permit, Purpose};
use crate::catalog::Served;
use crate::config::Bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::session::{SessionId, Standing};
use crate::telemetry::Rejected;

/// A number of a list, as JSON: a sign, up to 20 digits and characters between, and a comma.
const NUMBER_BYTES: usize = 24;

/// A token of a list, as JSON: its id, its text in two forms, its probabilities and the names of all these fields.
const TOKEN_BYTES: usize = 160;

/// Room for one answer. It is held until the answer has been sent.
#[derive(Debug)]
pub struct Room(#[allow(dead_code, reason = "it is only held")] Permit);

/// What an answer lists.
#[derive(Default)]
struct Listed {
    numbers: usize,
    tokens: usize,
    /// Bytes of lists of token ids, and of texts.
    plain_bytes: usize,
    /// Bytes of the states that it returns.
    state_bytes: usize,
    /// The path of the field of the request that makes the answer large.
    param: String,
}

/// A question beside a write.
pub struct AskedBeside<'a> {
    /// The session that is written to; `None` for one that is created.
    pub session: Option<&'a str>,
    /// The model that the request names.
    pub model: Option<&'a str>,
    /// The question, if the request has one.
    pub next: Option<&'a Question>,
}

/// What the answer to a generation lists.
pub(super) struct Continuations {
    /// Continuations that are in memory as a whole.
    pub(super) choices: usize,
    /// Most tokens of each.
    pub(super) tokens_max: usize,
    /// Tokens of the prompt.
    pub(super) prompt_tokens: usize,
    /// Alternatives to each token.
    pub(super) alternatives: usize,
    /// The field of the request that gives their number.
    pub(super) alternatives_field: &'static str,
    /// Bytes of the state that is returned.
    pub(super) state_bytes: usize,
}

/// A request whose answer may return a state.
pub struct Returning<'a> {
    /// The session that it is made to, if it is.
    pub session: Option<&'a str>,
    /// The model that it names.
    pub model: Option<&'a str>,
    /// Its state, and whether one is returned.
    pub carried: &'a Carried,
}

impl Service {
    /// Room for the answer to `request`.
    ///
    /// # Errors
    /// `InvalidValue` over `--max-answer`; `QueueFull` over `--answers-max-bytes`.
    pub fn room_for_next(&self, request: &NextRequest) -> Result<Room> {
        let of_entry =
            |next: &SessionNextRequest, session: Option<&str>, mixture: Option<&[MixturePart]>| match mixture
            {
                None => {
                    let model = next.prompt.model.as_deref();
                    let returned = self.state_bytes(&Returning { session, model, carried: &next.carried });
                    self.listed(&next.question, "", self.vocab_size(session, model)).with_state(returned)
                }
                Some(parts) => self.listed_by_mixture(&next.question, parts),
            };
        let Some(entries) = &request.requests else {
            return self.room(&of_entry(&request.next, None, request.mixture.as_deref()));
        };
        let mut all = Listed { param: "requests".to_owned(), ..Listed::default() };
        // More entries are refused later.
        for entry in entries.iter().take(self.config.limits.max_requests) {
            // What is refused is answered with a short error.
            let Independent::Read(entry) = entry else { continue };
            let Listed { numbers, tokens, plain_bytes, state_bytes, .. } =
                of_entry(&entry.next, entry.session.as_deref(), entry.mixture.as_deref());
            all.numbers += numbers;
            all.tokens += tokens;
            all.plain_bytes = all.plain_bytes.saturating_add(plain_bytes);
            all.state_bytes = all.state_bytes.saturating_add(state_bytes);
        }
        self.room(&all)
    }

    /// Every model of a mixture gives its whole distribution, in numbers of a third of their size as JSON.
    fn listed_by_mixture(&self, question: &Question, parts: &[MixturePart]) -> Listed {
        let parts = &parts[..parts.len().min(self.config.limits.max_mixture)];
        let sizes = parts.iter().map(|part| self.vocab_size(None, Some(&part.model)));
        let largest = sizes.max().unwrap_or_default();
        let listed = self.listed(question, "", largest);
        let numbers = listed.numbers + (largest * parts.len()).div_ceil(3);
        Listed { numbers, param: "mixture".to_owned(), ..listed }
    }

    /// Room for the answer to `request` to the session `id`.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_for_session_next(&self, id: &str, request: &SessionNextRequest) -> Result<Room> {
        let returning = Returning { session: Some(id), model: None, carried: &request.carried };
        let listed = self.listed(&request.question, "", self.vocab_size(Some(id), None));
        self.room(&listed.with_state(self.state_bytes(&returning)))
    }

    /// Room for the answer to the `next` of a request that writes to the session `id`, or creates one, if there is such a question.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_beside_write(&self, asked: &AskedBeside<'_>) -> Result<Option<Room>> {
        let Some(question) = asked.next else { return Ok(None) };
        let vocab_size = self.vocab_size(asked.session, asked.model);
        self.room(&self.listed(question, "next.", vocab_size)).map(Some)
    }

    /// Room for what the answer to a generation lists; `None` if that is nothing.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub(super) fn room_for_generation(&self, listed: &Continuations) -> Result<Option<Room>> {
        let &Continuations {
            choices,
            tokens_max,
            prompt_tokens,
            alternatives,
            alternatives_field,
            state_bytes,
        } = listed;
        let places = choices.saturating_mul(tokens_max).saturating_add(prompt_tokens);
        if places == 0 && state_bytes == 0 {
            return Ok(None);
        }
        let tokens = places.saturating_mul(alternatives + 1);
        let param = if alternatives == 0 { "max_tokens" } else { alternatives_field };
        let listed = Listed { tokens, param: param.to_owned(), ..Listed::default() };
        self.room(&listed.with_state(state_bytes)).map(Some)
    }

    /// Room for the state that an answer returns, beside little else; `None` if it returns none.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_for_returned_state(&self, returning: &Returning<'_>) -> Result<Option<Room>> {
        let state_bytes = self.state_bytes(returning);
        if state_bytes == 0 {
            return Ok(None);
        }
        self.room(&Listed { state_bytes, param: "return_state".to_owned(), ..Listed::default() }).map(Some)
    }

    /// Room for an explanation that lists `tokens` tokens, each with `numbers` numbers.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub(super) fn room_for_explanation(&self, tokens: usize, numbers: usize) -> Result<Room> {
        let numbers = tokens.saturating_mul(numbers);
        self.room(&Listed { numbers, tokens, param: "text".to_owned(), ..Listed::default() })
    }

    /// Room for the vectors of the state of the session `id`.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_for_state(&self, id: &str) -> Result<Room> {
        // A session that does not exist is refused later.
        let info = SessionId::parse(id).and_then(|id| self.sessions.info(&id));
        let numbers = info.map_or(0, |info| info.state_bytes / size_of::<f32>());
        self.room(&Listed { numbers, param: "accept".to_owned(), ..Listed::default() })
    }

    /// Room for the state of the session `id` as a file.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_for_export(&self, id: &str) -> Result<Room> {
        let served = self.asked_model(Some(id), None);
        let state_bytes = served.map_or(0, |served| exported_len(&served, self.cache_window_of(id)));
        self.room(&Listed { state_bytes, param: "id".to_owned(), ..Listed::default() })
    }

    /// Room for the answer to `request`.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub fn room_for_rescoring(&self, request: &RescoreRequest) -> Result<Room> {
        let hypotheses = request.utterances.iter().flatten().map(|utterance| utterance.hypotheses.len());
        let tokens = hypotheses.sum();
        self.room(&Listed { tokens, param: "utterances".to_owned(), ..Listed::default() })
    }

    /// Room for a list of `ids` token ids of `served` and of `pieces` tokens.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub(super) fn room_for_ids(&self, served: &Served, ids: usize, pieces: usize) -> Result<Room> {
        let vocab_size = served.model.info().vocab_size;
        let digits = vocab_size.checked_ilog10().unwrap_or_default() as usize + 1;
        // As a number in memory, and as its digits and a comma.
        let plain_bytes = ids.saturating_mul(size_of::<TokenId>() + digits + 1);
        self.room(&Listed { tokens: pieces, plain_bytes, param: "text".to_owned(), ..Listed::default() })
    }

    /// Room for a text of `bytes`, which are the texts of `tokens`.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub(super) fn room_for_text(&self, bytes: usize) -> Result<Room> {
        let plain_bytes = text_bytes(bytes);
        self.room(&Listed { plain_bytes, param: "tokens".to_owned(), ..Listed::default() })
    }

    /// Room for a file of `bytes` with a state. It is as large as the model has it, so `--max-answer` does not bound it.
    ///
    /// # Errors
    /// `QueueFull` over `--answers-max-bytes`.
    pub(super) fn room_for_state_file(&self, bytes: usize) -> Result<Room> {
        self.free_room(bytes)
    }

    /// Room for `tokens` scored tokens.
    ///
    /// # Errors
    /// As [`Self::room_for_next`].
    pub(super) fn room_for_scored(&self, tokens: usize) -> Result<Room> {
        self.room(&Listed { tokens, param: "token_logprobs".to_owned(), ..Listed::default() })
    }

    /// What is known before the candidates are tokenised; `path` is that of the question's fields.
    fn listed(&self, question: &Question, path: &str, vocab_size: usize) -> Listed {
        let shown = &question.shown;
        let limits = &self.config.limits;
        let top_k = shown.top_k_or_default(limits.max_top_k).min(vocab_size);
        // More are refused later.
        let candidates = &question.candidates[..question.candidates.len().min(limits.max_candidates)];
        let texts = candidates.iter().map(|candidate| match candidate {
            Word::Text(text) => text.len(),
            Word::Id(_) => 0,
        });
        let repeated =
            Listed { tokens: candidates.len(), plain_bytes: text_bytes(texts.sum()), ..Listed::default() };
        let field = match repeated.bytes() {
            _ if shown.full => "full",
            bytes if top_k.saturating_mul(TOKEN_BYTES) < bytes => "candidates",
            _ => "top_k",
        };
        let numbers = if shown.full { vocab_size } else { 0 };
        Listed { numbers, tokens: top_k + candidates.len(), param: format!("{path}{field}"), ..repeated }
    }

    /// The size of the vocabulary that a request is about. 0 for a model or a session that does not exist, which is refused later.
    fn vocab_size(&self, session: Option<&str>, model: Option<&str>) -> usize {
        self.asked_model(session, model).map_or(0, |served| served.model.info().vocab_size)
    }

    /// About how many bytes the state takes that an answer returns; 0 if it returns none, and where [`Self::vocab_size`] is 0.
    pub(super) fn state_bytes(&self, returning: &Returning<'_>) -> usize {
        let &Returning { session, model, carried: Carried { state, return_state, cache } } = returning;
        if !return_state {
            return 0;
        }
        let brought = state.as_deref().and_then(Brought::peek);
        let of_state = brought.as_ref().and_then(|brought| self.model_with(&brought.identity));
        let served = of_state.or_else(|| self.asked_model(session, model));
        let window = match (cache, &brought) {
            (Some(cache), _) => cache.window,
            (None, Some(brought)) => brought.cache_window,
            (None, None) => session.map_or(0, |id| self.cache_window_of(id)),
        };
        // A larger window is refused later. A cache may become full while the request is answered.
        let window = window.min(self.config.sessions.cache_window_max);
        let cache_bytes = served.as_deref().map_or(0, |served| cache_len(served, window));
        match (state, served) {
            // Beside its cache, it is at most as long as the state that the request brings.
            (Some(state), _) => state.len() + cache_bytes,
            (None, Some(served)) => encoded_len(&served) + cache_bytes,
            (None, None) => 0,
        }
    }

    /// The window of the cache of the session `id`; 0 if it has none, or does not exist.
    fn cache_window_of(&self, id: &str) -> usize {
        let standing = SessionId::parse(id).and_then(|id| self.sessions.look(&id));
        let window = |standing: Standing| Some(standing.snapshot.state.cache()?.options().window);
        standing.ok().and_then(window).unwrap_or(0)
    }

    /// The model that a request is about; `None` if it or the session does not exist.
    fn asked_model(&self, session: Option<&str>, model: Option<&str>) -> Option<Arc<Served>> {
        let id = session.map(SessionId::parse);
        let of_session = id.map(|id| id.and_then(|id| self.sessions.info(&id)).map(|info| info.model));
        let catalog = self.catalog();
        let served = match &of_session {
            Some(Ok(name)) => catalog.get(Some(&**name)),
            Some(Err(_)) => return None,
            None => catalog.get(model),
        };
        served.ok().cloned()
    }

    fn room(&self, listed: &Listed) -> Result<Room> {
        let bytes = listed.bytes();
        let max = self.config.limits.max_answer;
        if bytes > max.0 {
            let param = listed.param.as_str();
            let found = Bytes(bytes);
            let message =
                format!("the answer would have about {found}; the maximum is {max} (`--max-answer`)");
            return Err(Error::invalid(param, message));
        }
        self.free_room(bytes)
    }

    fn free_room(&self, bytes: usize) -> Result<Room> {
        let taken = self.budget.take(&self.holder(), Purpose::Answers, bytes);
        taken.map(Room).map_err(|exceeded| self.no_room(exceeded))
    }

    fn no_room(&self, exceeded: Exceeded) -> Error {
        if exceeded != Exceeded::Answers {
            return self.over_memory(exceeded);
        }
        self.metrics.rejected(Rejected::AnswersFull);
        let max = self.config.http.answers_max_bytes;
        let message =
            format!("the answers that are being computed and sent take all of {max} (`--answers-max-bytes`)");
        Error::new(ErrorKind::QueueFull, message)
    }
}

/// The bytes of a text in an answer. JSON may escape each, and it is held beside its JSON.
fn text_bytes(bytes: usize) -> usize {
    bytes.saturating_mul(2)
}

impl Listed {
    fn bytes(&self) -> usize {
        let numbers = self.numbers.saturating_mul(NUMBER_BYTES);
        let tokens = self.tokens.saturating_mul(TOKEN_BYTES);
        [tokens, self.plain_bytes, self.state_bytes].into_iter().fold(numbers, usize::saturating_add)
    }

    /// The same with a returned state of `bytes` beside.
    fn with_state(self, bytes: usize) -> Self {
        let param = if bytes > self.bytes() { "return_state".to_owned() } else { self.param };
        Self { state_bytes: bytes, param, ..self }
    }
}
