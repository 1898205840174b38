//! `suggest`: whole words for the half-typed one at the end of a text, from a model or in a session of a running server.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::{Patience, Target};
use super::failure::{Failure, Outcome};
use super::input::{CacheArg, MODEL, ModelArg, check_no_model};
use super::json;
use super::local::Local;
use crate::api::prompt::Prompt;
use crate::api::state::Carried;
use crate::api::suggest::{Suggest, SuggestRequest};

#[derive(Args)]
pub(super) struct SuggestArgs {
    /// A model folder
    #[arg(long = "model", value_name = "DIR", env = MODEL, hide_env_values = true, required_unless_present = "session")]
    pub folder: Option<PathBuf>,

    /// A session of a running server to ask, in place of `--model`, like `http://127.0.0.1:8080/v1/sessions/ID`
    #[arg(long, value_name = "URL")]
    pub session: Option<String>,

    /// The key of the server, if it requires one; better given in the environment, where other users do not see it
    #[arg(long, value_name = "KEY", requires = "session", value_parser = key)]
    pub key: Option<String>,

    /// The text so far, which may end within a word; in a session, what follows the session's text
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Number of suggestions
    #[arg(long, value_name = "N", default_value = "3")]
    pub top_k: usize,

    /// Number of words of each suggestion
    #[arg(long, value_name = "N", default_value = "1")]
    pub next_words: usize,

    /// Suggest only words that have the case of what is typed
    #[arg(long)]
    pub match_case: bool,

    #[command(flatten)]
    pub cache: CacheArg,

    /// Print the answer of `POST /v1/suggest`
    #[arg(long)]
    pub json: bool,
}

/// A key that a header can hold.
fn key(text: &str) -> Result<String, String> {
    let is_fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fit { Ok(text.to_owned()) } else { Err("expected visible ASCII characters".to_owned()) }
}

/// What a server may take: longer than a request may wait there by default.
const PATIENCE: Patience = Patience { timeout: Duration::from_secs(120), answer_bytes_max: 16 << 20 };

pub(super) fn run(args: &SuggestArgs) -> Outcome {
    match (&args.session, &args.folder) {
        (Some(url), folder) => {
            check_no_model(folder.as_ref(), "--session")?;
            ask_server(url, args)
        }
        (None, Some(folder)) => ask_model(ModelArg { folder: folder.clone() }, args),
        (None, None) => Err(Failure::Usage("one of `--model` and `--session` is required".to_owned())),
    }
}

fn ask_model(model: ModelArg, args: &SuggestArgs) -> Outcome {
    let local = Local::open(&model)?;
    let request = SuggestRequest {
        prompt: Prompt { text: Some(args.text.clone()), ..Prompt::default() },
        suggest: Suggest {
            prefix: None,
            top_k: args.top_k,
            ignore_case: !args.match_case,
            next_words: args.next_words,
            extra_words: Vec::new(),
        },
        carried: Carried { cache: args.cache.cache.clone(), ..Carried::default() },
    };
    let response = local.block_on(local.service.suggest(request))?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, &response);
    }
    for suggestion in &response.suggested.suggestions {
        writeln!(out, "{}", suggestion.text)?;
    }
    Ok(())
}

/// Asks the session at `url`, which does not move.
fn ask_server(url: &str, args: &SuggestArgs) -> Outcome {
    let target = Target { key: args.key.clone(), ..target(url)? };
    let question = json!({
        "text": args.text,
        "top_k": args.top_k,
        "ignore_case": !args.match_case,
        "next_words": args.next_words,
    });
    let failed = |what: &str| Failure::Failed(format!("`{target}` {what}"));
    let answer = target
        .post(&question.to_string(), PATIENCE)
        .map_err(|error| Failure::Failed(format!("no answer from `{target}`: {error}")))?;
    let found = answer.json();
    if answer.status != 200 {
        let code = found.as_ref().and_then(|json| json["error"]["code"].as_str());
        return Err(match code {
            // A field of the request is an option here, as it is without a server.
            Some("invalid_value") => Failure::Usage(answer.reason()),
            _ => failed(&format!("answers {}: {}", answer.status, answer.reason())),
        });
    }
    let suggestions = found.as_ref().and_then(|json| json["suggestions"].as_array());
    let suggestions = suggestions.ok_or_else(|| failed("answers no suggestions"))?;
    let mut out = stdout().lock();
    if args.json {
        out.write_all(answer.body.trim_ascii_end())?;
        return Ok(writeln!(out)?);
    }
    for text in suggestions.iter().filter_map(|suggestion| suggestion["text"].as_str()) {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

fn target(url: &str) -> Outcome<Target> {
    let wrong = || {
        let message = format!(
            "`--session` is `{url}`; it must be like `http://127.0.0.1:8080/v1/sessions/ID`, without `/suggest`"
        );
        Failure::Usage(message)
    };
    let Target { authority, path, .. } = Target::parse(url.trim_end_matches('/'), "").ok_or_else(wrong)?;
    let id = path.rsplit_once("/v1/sessions/").map_or("", |(_, id)| id);
    if id.is_empty() || id.contains(['/', '?', '#']) {
        return Err(wrong());
    }
    Ok(Target { authority, path: format!("{path}/suggest"), key: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_session_becomes_that_of_its_suggestions() {
        let found = |url: &str| target(url).map(|target| target.to_string()).ok();
        let expected = Some("http://localhost:8080/v1/sessions/s-1/suggest".to_owned());
        assert_eq!(found("http://localhost:8080/v1/sessions/s-1"), expected);
        assert_eq!(found("http://localhost:8080/v1/sessions/s-1/"), expected);
        let behind_a_proxy = Some("http://host:80/lm/v1/sessions/a/suggest".to_owned());
        assert_eq!(found("http://host/lm/v1/sessions/a"), behind_a_proxy);
        for url in [
            "https://host/v1/sessions/a",
            "http://host",
            "http://host/v1/sessions",
            "http://host/v1/sessions/",
            "http://host/v1/sessions/a/suggest",
            "http://host/v1/sessions/a?x=1",
        ] {
            assert!(matches!(target(url), Err(Failure::Usage(_))), "{url}");
        }
    }
}
