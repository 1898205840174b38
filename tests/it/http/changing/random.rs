//! Random changes beside requests: every answer is that of weights that were served, or says why there is none.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::world::World;
use crate::harness::client::Answer;
use crate::harness::network::mix;

const CHANGES: u64 = 60;
/// The model that comes and goes, and one that is only replaced.
const MODELS: [&str; 2] = ["words-gru", "words"];

/// What the model answers, with each of its two weights.
struct Known {
    model: &'static str,
    /// After a text.
    answers: [Value; 2],
    /// From a session that has read that text, with one more.
    continued: [Value; 2],
}

const TEXT: &str = "the old man";
const MORE: &str = "and the sea";

impl Known {
    async fn of(world: &World, model: &'static str) -> Self {
        let mut answers = Vec::new();
        let mut continued = Vec::new();
        for _ in 0..2 {
            answers.push(world.post("/v1/next", question(model, TEXT)).await.expect(200)["logprobs"].take());
            let both = question(model, &format!("{TEXT} {MORE}"));
            continued.push(world.post("/v1/next", both).await.expect(200)["logprobs"].take());
            world.alter(model);
            world.change(model, "reload").await.expect(200);
        }
        let pair = |values: Vec<Value>| <[Value; 2]>::try_from(values).unwrap();
        Self { model, answers: pair(answers), continued: pair(continued) }
    }

    /// Asks again and again until `ended`.
    async fn ask(&self, world: &World, ended: &AtomicBool) -> usize {
        let id = format!("of-{}", self.model);
        let session = json!({"id": id, "model": self.model, "text": TEXT, "replace": true});
        let path = format!("/v1/sessions/{id}");
        let mut answered = 0;
        while !ended.load(Ordering::SeqCst) {
            let answer = world.post("/v1/next", question(self.model, TEXT)).await;
            answered += usize::from(self.is_one_of(&answer, &self.answers));
            let created = world.post("/v1/sessions", session.clone()).await;
            assert!([201, 404].contains(&created.status), "{}", created.text());
            for _ in 0..3 {
                let next = world.post(&format!("{path}/next"), json!({"full": true, "text": MORE})).await;
                answered += usize::from(self.is_one_of(&next, &self.continued));
            }
            let appended = world.post(&format!("{path}/append"), json!({"text": MORE})).await;
            assert!([200, 404, 410].contains(&appended.status), "{}", appended.text());
        }
        answered
    }

    /// Whether there is an answer, which must then be one of `known`.
    fn is_one_of(&self, answer: &Answer, known: &[Value; 2]) -> bool {
        match answer.status {
            200 => {
                let found = &answer.json()["logprobs"];
                assert!(
                    known.contains(found),
                    "`{}` has answered {found}, expected one of {known:?}",
                    self.model
                );
                true
            }
            404 => false,
            410 => {
                answer.refused(410, "model_changed");
                false
            }
            _ => panic!("{}", answer.text()),
        }
    }
}

fn question(model: &str, text: &str) -> Value {
    json!({"model": model, "text": text, "full": true})
}

/// Makes random changes. Returns how many were made.
async fn change(world: &World, seed: u64) -> usize {
    let mut made = 0;
    for step in 0..CHANGES {
        let random = mix(seed << 32 ^ step);
        let model = MODELS[(random % 2) as usize];
        if random >> 8 & 1 == 0 {
            world.alter(model);
        }
        let change = ["load", "reload", "unload"][(random >> 16) as usize % 3];
        let answer = world.change(model, change).await;
        assert!([200, 404, 409].contains(&answer.status), "{}", answer.text());
        made += usize::from(answer.status == 200);
    }
    made
}

#[tokio::test]
async fn random_changes_beside_requests_give_no_wrong_bit_and_no_server_error() {
    for seed in 0..4 {
        let world = World::start().await;
        world.change("words-gru", "load").await.expect(200);
        let knowns = [Known::of(&world, MODELS[0]).await, Known::of(&world, MODELS[1]).await];
        let free = world.requests_max();
        let ended = AtomicBool::new(false);
        let changes = async {
            let made = change(&world, seed).await;
            ended.store(true, Ordering::SeqCst);
            made
        };
        let (made, gru, words) =
            tokio::join!(changes, knowns[0].ask(&world, &ended), knowns[1].ask(&world, &ended));
        assert!(
            made > 0 && gru > 0 && words > 0,
            "{made} changes, {gru} and {words} answers: nothing was tested"
        );
        world.server.until_jobs(0).await;
        if world.change("words-gru", "load").await.status == 409 {
            world.change("words-gru", "reload").await.expect(200);
        }
        world.server.until(|| world.requests_max() == free).await;
    }
}
