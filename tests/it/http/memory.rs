//! The memory that requests take: counted before it is allocated, within one budget, and given back. What is checked is the account;
//! `benches/peak.py` compares it with what is resident.

use std::time::Duration;

use futures_util::FutureExt;
use rnnlm_server::api::openai::TokenizePromptRequest;
use rnnlm_server::budget::Budget;
use rnnlm_server::clock::Clock;
use rnnlm_server::config::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gate::gated;
use crate::harness::client::{Answer, Request};
use crate::harness::models::{letters, words};
use crate::harness::server::{Server, Setup};

/// The default setup of a service with this much memory.
fn within(memory: &str) -> Setup {
    let mut config = Config::from_args(&["--memory-max", memory]).unwrap();
    config.engine.engine_threads = 1;
    Setup { config, ..Setup::default() }
}

fn budget(server: &Server) -> std::sync::Arc<Budget> {
    server.app.service().unwrap().budget().clone()
}

/// Checks that no more than the budget was given out, and that all of it comes back.
async fn comes_back(server: &Server) {
    let budget = budget(server);
    assert!(budget.peak() <= budget.bytes_max(), "{} of {}", budget.peak(), budget.bytes_max());
    server.until(|| budget.taken() == 0).await;
}

fn post(target: &str, body: String) -> Request {
    Request::new("POST", target).body(body).header("content-type", "application/json")
}

/// `{"text": "aaa...", ...}` of about `bytes`.
fn long_text(bytes: usize, rest: &str) -> String {
    format!("{{\"text\": \"{}\"{rest}}}", "a".repeat(bytes - 64))
}

#[tokio::test]
async fn a_long_text_of_characters_is_tokenised_within_the_budget() {
    let setup = Setup { models: vec![letters()], ..within("1GiB") };
    let max_body = setup.config.http.max_body.0;
    assert_eq!(max_body, 16 << 20);
    let server = setup.start().await;
    let answer = server.send(post("/v1/tokenize", long_text(max_body, ", \"pieces\": false"))).await;
    let (param, message) = answer.refused(422, "invalid_value");
    assert_eq!(param, "text");
    assert!(message.contains("`--max-answer`"), "{message}");
    let answer = server.send(post("/v1/tokenize", long_text(max_body, ""))).await;
    assert!(answer.refused(422, "text_too_long").1.contains("`--max-pieces`"));
    let peak = budget(&server).peak();
    // The body three times, its ids as they grow to twice their length, and their copy.
    assert!((16 << 20..16 * max_body).contains(&peak), "{peak}");
    comes_back(&server).await;
    let short = server.post("/v1/tokenize", json!({"text": "abc"})).await.expect(200);
    assert_eq!(short["tokens"], json!([0, 1, 2]));
    comes_back(&server).await;
}

#[tokio::test]
async fn a_text_that_can_never_fit_is_refused_for_good() {
    let mut setup = Setup { models: vec![letters()], ..within("64MiB") };
    setup.config.http.max_body.0 = 16 << 20;
    setup.config.limits.max_text.0 = 16 << 20;
    let server = setup.start().await;
    for target in ["/v1/tokenize", "/v1/next", "/v1/score", "/v1/generate", "/v1/sessions"] {
        let answer = server.send(post(target, long_text(16 << 20, ""))).await;
        let (_, message) = answer.refused(413, "body_too_large");
        assert!(message.contains("`--memory-max`"), "{target}: {message}");
        comes_back(&server).await;
    }
}

/// Its answer has room for each token too: seven bytes, of which four are those of its id.
#[tokio::test]
async fn tokens_between_special_ones_are_counted_as_they_are_found() {
    let server = within("64MiB").start().await;
    let prompt = "a<eos>".repeat(50_000);
    let answer = server.post("/tokenize", json!({"prompt": prompt})).await.expect(200);
    assert_eq!(answer["count"], 100_000);
    let peak = budget(&server).peak();
    assert!(peak >= prompt.len() + (4 + 7) * 100_000, "{peak}");
    comes_back(&server).await;

    // Nobody waits for the thread on which a long one is tokenised.
    let service = server.app.service().unwrap();
    let request = TokenizePromptRequest { prompt, ..Default::default() };
    let mut answer = Box::pin(service.tokenize_prompt(request));
    assert!((&mut answer).now_or_never().is_none());
    assert_eq!(answer.await.unwrap().count, 100_000);
    comes_back(&server).await;

    let mut setup = within("64MiB");
    setup.config.limits.max_prompt_tokens = 3;
    let server = setup.start().await;
    for prompt in ["a<eos>a<eos>", "a<eos>a a", "<eos><eos><eos><eos>"] {
        let answer = server.post("/tokenize", json!({"prompt": prompt})).await;
        let (param, message) = answer.refused(400, "text_too_long");
        let said = "`prompt` has more than 3 tokens; the maximum is 3 (`--max-prompt-tokens`)";
        assert_eq!((param, &*message), (json!("prompt"), said), "{prompt}");
    }
    server.post("/tokenize", json!({"prompt": "a<eos>a "})).await.expect(200);
}

/// Its body and its tokens with their places may fit one by one, and not together.
#[tokio::test]
async fn a_request_that_is_alone_is_never_told_to_try_again() {
    let text_bytes = 8 << 20;
    let mut setup = Setup { models: vec![letters()], ..within("1GiB") };
    setup.config.limits.max_prompt_tokens = text_bytes;
    let server = setup.start().await;
    let budget = budget(&server);
    let whole = budget.bytes_max();
    let mut statuses = Vec::new();
    for left in (16..40).map(|times| times * text_bytes) {
        let _others = budget.set_aside(whole - left);
        let text = long_text(text_bytes, ", \"token_logprobs\": true");
        statuses.push(server.send(post("/v1/score", text)).await.status);
        comes_back(&server).await;
    }
    // It does not fit at first, and then its answer is larger than `--max-answer`.
    let fits = statuses.partition_point(|&status| status == 413);
    assert!((1..statuses.len()).contains(&fits), "{statuses:?}");
    assert!(statuses[fits..].iter().all(|&status| status == 422), "{statuses:?}");
}

#[tokio::test]
async fn lists_of_empty_entries_take_what_they_become() {
    let server = within("64MiB").start().await;
    let max_body = 1 << 20;
    let of = |begin: &str, entry: &str, end: &str| {
        let count = (max_body - 64) / (entry.len() + 1);
        format!("{begin}{}{end}", vec![entry; count].join(","))
    };
    let hypotheses = format!("{{\"hypotheses\":[{}]}}", vec!["{}"; 60_000].join(","));
    for (target, body) in [
        ("/v1/next", of("{\"requests\":[", "{}", "]}")),
        ("/v1/rescore", of("{\"utterances\":[", "{}", "]}")),
        ("/v1/rescore", of("{\"utterances\":[", &hypotheses, "]}")),
        ("/v1/score", of("{\"texts\":[", "\"\"", "]}")),
        ("/v1/completions", of("{\"prompt\":[", "[]", "]}")),
    ] {
        let answer = server.send(post(target, body)).await;
        let code = answer.json()["error"]["code"].clone();
        assert!([400, 413, 422].contains(&answer.status), "{target}: {} {code}", answer.status);
        comes_back(&server).await;
    }

    let mut setup = within("64MiB");
    setup.config.http.max_body.0 = 16 << 20;
    let server = setup.start().await;
    let many = format!("{{\"utterances\":[{}]}}", vec![hypotheses; 20].join(","));
    let (_, message) = server.send(post("/v1/rescore", many)).await.refused(413, "body_too_large");
    assert!(message.contains("`--memory-max`"), "{message}");
    comes_back(&server).await;
}

/// Requests that are sent at once, while a gate keeps the first from being answered.
struct Crowd {
    setup: Setup,
    count: usize,
    request: Request,
    /// The jobs of each.
    jobs: usize,
}

/// The answers, and the bytes that were taken while nobody was answered but those who were refused.
struct Answered {
    answers: Vec<Answer>,
    taken: usize,
}

impl Crowd {
    async fn at_once(self) -> Answered {
        let Self { setup, count, request, jobs } = self;
        let (model, mut gate) = gated();
        let server = Setup { models: vec![model], ..setup }.start().await;
        let budget = budget(&server);
        let sent: Vec<_> = (0..count).map(|_| tokio::spawn(request.clone().open(server.address))).collect();
        gate.entered().await;
        // Whoever is refused is answered while the others wait.
        let service = server.app.service().unwrap();
        let unanswered = || sent.iter().filter(|answer| !answer.is_finished()).count();
        server
            .until(|| {
                let stats = service.pool().stats();
                unanswered() * jobs == stats.running + stats.waiting && server.app.open() == unanswered()
            })
            .await;
        let taken = budget.taken();
        let _runs = gate.open();
        let mut answers = Vec::new();
        for answer in sent {
            answers.push(answer.await.unwrap().whole().await);
        }
        comes_back(&server).await;
        Answered { answers, taken }
    }
}

fn refused(answers: &[Answer]) -> Vec<&Answer> {
    answers.iter().filter(|answer| answer.status != 200).collect()
}

#[tokio::test]
async fn of_many_long_prompts_at_once_those_are_read_that_fit() {
    let text = vec!["b"; 300_000].join(" ");
    for count in [20, 40] {
        let request = Request::new("POST", "/v1/next").json(&json!({"text": text}));
        let crowd = Crowd { setup: within("64MiB"), count, request, jobs: 1 };
        let Answered { answers, taken } = crowd.at_once().await;
        let refused = refused(&answers);
        assert!(refused.len() < count, "at least the first is read");
        for answer in &refused {
            let (_, message) = answer.refused(429, "queue_full");
            assert!(message.contains("`--memory-max`") || message.contains("`--queue-"), "{message}");
            assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("1", "true"));
        }
        let read = count - refused.len();
        assert!(taken >= read * 300_000 * size_of::<u32>(), "{taken} bytes for {read} prompts");
    }
}

#[tokio::test]
async fn of_many_full_batches_at_once_those_are_answered_that_fit() {
    let mut setup = within("64MiB");
    setup.config.http.answers_max_bytes.0 = 256 << 10;
    let request =
        Request::new("POST", "/v1/next").json(&json!({"requests": vec![json!({"full": true}); 16]}));
    let Answered { answers, .. } = Crowd { setup, count: 10, request, jobs: 16 }.at_once().await;
    let refused = refused(&answers);
    // Each lists 16 times 26 numbers and 10 tokens: seven of them fit.
    assert_eq!(refused.len(), 3);
    for answer in refused {
        let (_, message) = answer.refused(429, "queue_full");
        assert!(message.contains("`--answers-max-bytes`"), "{message}");
    }
}

/// Eight states for each word wanted, where words are put together from tokens; one where each token is a word.
#[tokio::test]
async fn a_suggestion_is_counted_with_the_states_that_its_search_keeps() {
    let state_bytes = letters().model.info().state_bytes();
    for (model, states_each) in [("letters", 8), ("words", 0)] {
        let mut peaks = Vec::new();
        // As many digits, so that the bodies are equally long.
        for top_k in [10, 99] {
            let server = within("64MiB").start().await;
            let body = json!({"model": model, "text": "a b", "prefix": "", "top_k": top_k});
            server.post("/v1/suggest", body).await.expect(200);
            peaks.push(budget(&server).peak());
            comes_back(&server).await;
        }
        assert_eq!(peaks[1] - peaks[0], 89 * states_each * state_bytes, "{model}");
    }
}

#[tokio::test]
async fn listed_scores_have_the_limit_of_an_answer() {
    let mut setup = within("1GiB");
    setup.config.limits.max_answer.0 = 1000;
    let server = setup.start().await;
    let text = "the sea a ship of stars old man";
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    for (target, body) in [
        ("/v1/score", json!({"text": text, "token_logprobs": true})),
        ("/v1/sessions/s/append", json!({"text": text, "token_logprobs": true})),
    ] {
        let (param, message) = server.post(target, body).await.refused(422, "invalid_value");
        assert_eq!(param, "token_logprobs", "{target}");
        assert!(message.contains("`--max-answer`"), "{target}: {message}");
    }
    let plain = Request::new("POST", "/v1/score?token_logprobs=true").header("content-type", "text/plain");
    let (_, message) = server.send(plain.body(text)).await.refused(422, "invalid_value");
    assert!(message.contains("`--max-answer`"), "{message}");
    server.post("/v1/score", json!({"text": text})).await.expect(200);
    comes_back(&server).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_counted_until_it_is_given_up() {
    let mut setup = within("1GiB");
    setup.config.http.write_timeout = Duration::from_secs(2);
    setup.config.limits.max_answer.0 = 64 << 20;
    let server = setup.start().await;
    // Its answer is larger than what the system takes for a client that does not read.
    let body = long_text(200_000, ", \"model\": \"letters\", \"token_logprobs\": true");
    let mut unread = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST /v1/score HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    unread.write_all((head + &body).as_bytes()).await.unwrap();
    unread.read_exact(&mut [0; 1]).await.unwrap();
    assert!(budget(&server).taken() > 20 << 20, "what is not sent is counted: {}", budget(&server).taken());
    comes_back(&server).await;
    let mut rest = Vec::new();
    let _ = unread.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"}"), "the answer was cut off");
}

#[tokio::test]
async fn bodies_that_are_read_as_they_arrive_are_counted_too() {
    let mut setup = Setup { models: vec![words()], ..within("64MiB") };
    setup.config.limits.max_text.0 = 1 << 30;
    setup.config.limits.max_line.0 = 1 << 30;
    let server = setup.start().await;
    // Without white space, a text cannot be cut.
    let solid = Request::new("POST", "/v1/score").header("content-type", "text/plain");
    let (_, message) = server.send(solid.body("x".repeat(20 << 20))).await.refused(413, "body_too_large");
    assert!(message.contains("`--memory-max`"), "{message}");
    comes_back(&server).await;
    let line = format!("{{\"hypotheses\":[{}]}}\n", vec!["{}"; 1 << 16].join(","));
    let lines = Request::new("POST", "/v1/rescore").header("content-type", "application/x-ndjson");
    let answer = server.send(lines.body(line.repeat(40))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text().lines().count(), 40);
    comes_back(&server).await;
}

#[tokio::test]
async fn the_time_of_a_request_begins_before_its_body_has_come() {
    let setup = Setup { clock: Clock::manual(), ..within("1GiB") };
    let timeout = setup.config.http.request_timeout;
    let server = setup.start().await;
    let body = json!({"text": "the sea"}).to_string();
    let (first, rest) = body.split_at(5);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/next HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    server.until(|| server.app.open() == 1).await;
    server.advance(timeout + Duration::from_secs(1));
    stream.write_all(rest.as_bytes()).await.unwrap();
    Answer::read(stream).await.refused(504, "timeout");
    comes_back(&server).await;
}

#[tokio::test]
async fn the_budget_is_told_by_info_and_metrics() {
    let server = within("1GiB").start().await;
    server.post("/v1/sessions", json!({"text": "the sea"})).await.expect(201);
    // The engine gives a job's memory back after it has sent the result.
    comes_back(&server).await;
    let limits = server.get("/v1/info").await.expect(200)["limits"].clone();
    let requests = budget(&server).bytes_max();
    assert_eq!(limits["memory_max_bytes"], 1 << 30);
    assert_eq!(limits["sessions_max_bytes"], 256 << 20);
    assert_eq!(limits["requests_max_bytes"], json!(requests));
    assert!(requests < 768 << 20, "sessions and buffers are set aside");
    let page = server.get("/metrics").await.text();
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim().parse::<i64>().unwrap()
    };
    assert_eq!(value("rnnlm_memory_max_bytes "), 1 << 30);
    assert_eq!(value("rnnlm_memory_requests_max_bytes "), requests as i64);
    assert!(value("rnnlm_memory_requests_peak_bytes ") > 0);
    assert!(value("rnnlm_memory_bytes{purpose=\"sessions\"} ") > 0);
    for purpose in ["bodies", "tokens", "jobs", "scratch", "answers"] {
        assert_eq!(value(&format!("rnnlm_memory_bytes{{purpose=\"{purpose}\"}} ")), 0, "{purpose}");
    }
}
