//! Use case: texts to tokens and back where special tokens stand in the text by their names.

use super::marked::{Marked, Unmarked, specials};
use crate::api::openai::{
    DetokenizePromptRequest, DetokenizedPrompt, TokenizePromptRequest, TokenizedPrompt, TokenizerInfo,
};
use crate::api::prompt::TextOrIds;
use crate::budget::Purpose;
use crate::error::Result;
use crate::service::Service;
use crate::service::input::{Input, Use};
use crate::service::memory::EncodingMemory;
use crate::text::Tail;

impl Service {
    /// The tokenizer of a model.
    ///
    /// # Errors
    /// Unknown model.
    pub fn tokenizer_info(&self, model: Option<&str>) -> Result<TokenizerInfo> {
        let served = &self.named_model(model)?;
        let tokenizer = &served.tokenizer;
        let entry = |token| tokenizer.entry(token).to_owned();
        let first = match served.initial_tokens.as_slice() {
            [token] => Some(*token),
            _ => None,
        };
        Ok(TokenizerInfo {
            model: served.name.to_string(),
            tokenizer_kind: tokenizer.kind().name(),
            tokenizer_sha256: tokenizer.sha256().to_owned(),
            vocab_size: tokenizer.vocab_size(),
            bos_token: first.map(entry),
            eos_token: tokenizer.eos().map(entry),
            unk_token: tokenizer.unk().map(entry),
            pad_token: None,
            chat_template: None,
        })
    }

    /// The tokens of a text in which special tokens stand by their names.
    ///
    /// # Errors
    /// Unknown model; text too long; an unknown word where the model has no unknown token.
    pub async fn tokenize_prompt(&self, request: TokenizePromptRequest) -> Result<TokenizedPrompt> {
        let served = &self.named_model(request.model.as_deref())?;
        self.check_text_len(&request.prompt, "prompt")?;
        let most = self.most_tokens(Use::Read);
        let marked = Marked {
            served: served.clone(),
            text: request.prompt,
            tokens: if request.add_special_tokens { served.initial_tokens.clone() } else { Vec::new() },
            tokens_max: most.tokens,
            memory: EncodingMemory(self.take(Purpose::Tokens, 0)?),
        };
        let bytes = marked.bytes();
        let unmarked = self.tokenize_beside(bytes, move |abandoned| marked.encode(&abandoned)).await;
        let Unmarked { tokens, unknown_count, memory: _memory } =
            unmarked.map_err(|error| self.encoding_failed(error, most, "prompt"))?;
        self.metrics.model(&served.name).unknown_tokens(unknown_count);
        self.keep(self.room_for_ids(served, tokens.len(), 0).map_err(|error| error.at("prompt"))?);
        Ok(TokenizedPrompt { count: tokens.len(), tokens })
    }

    /// The text of tokens, in which special tokens that add no text stand by their names.
    ///
    /// # Errors
    /// Unknown model; a token out of range; too many tokens.
    pub async fn detokenize_prompt(&self, request: DetokenizePromptRequest) -> Result<DetokenizedPrompt> {
        let served = &self.named_model(request.model.as_deref())?;
        let input = Input { value: TextOrIds::Ids(request.tokens), path: "tokens", purpose: Use::Read };
        let prepared = self.prepare(served, input).await?;
        let tokenizer = &served.tokenizer;
        let entries = prepared.tokens.iter().map(|&token| tokenizer.entry(token).len() + 1);
        self.keep(self.room_for_text(entries.sum())?);
        let mut silent = specials(served);
        silent.retain(|special| tokenizer.decode(&[special.token]).is_empty());
        let mut decoder = tokenizer.decoder(&Tail::default());
        let mut prompt = String::new();
        for &token in &*prepared.tokens {
            prompt.push_str(&decoder.push(token));
            if let Some(special) = silent.iter().find(|special| special.token == token) {
                prompt.push_str(special.name);
            }
        }
        prompt.push_str(&decoder.finish());
        Ok(DetokenizedPrompt { prompt })
    }
}
