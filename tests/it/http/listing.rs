//! `GET /v1/sessions`: sessions are listed in pages, of all models or of one, and a long search keeps nobody waiting.

use std::future::poll_fn;
use std::pin::pin;

use rnnlm_server::api::sessions::{ListSessionsQuery, SessionList};
use rnnlm_server::service::Service;
use rnnlm_server::session::{NewSession, OnExisting, SessionId, Snapshot};
use serde_json::{Value, json};

use crate::harness::server::{Server, Setup};

async fn create(server: &Server, body: Value) {
    server.post("/v1/sessions", body).await.expect(201);
}

fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let server = Setup::configured(|config| config.sessions.sessions_page_max = 3).start().await;
    for id in ["d", "a", "c", "b", "e"] {
        create(&server, json!({"id": id})).await;
    }
    let page = async |query: &str| {
        let page = server.get(&format!("/v1/sessions{query}")).await.expect(200);
        assert_eq!(page["object"], "list");
        let ids: Vec<String> = page["data"].as_array().unwrap().iter().map(id_of).collect();
        let has_more = page["has_more"].as_bool().unwrap();
        assert_eq!(
            page.get("next_after").map(|id| id.as_str().unwrap()),
            ids.last().filter(|_| has_more).map(|id| &**id)
        );
        (ids, has_more)
    };
    let (all, has_more) = page("").await;
    assert_eq!((all.len(), has_more), (3, true));
    let (rest, has_more) = page(&format!("?after={}", all[2])).await;
    assert_eq!((rest.len(), has_more), (2, false));
    let all = [all, rest].concat();
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(sorted, ["a", "b", "c", "d", "e"]);
    assert_eq!(page("?limit=2").await, (all[..2].to_vec(), true));
    assert_eq!(page(&format!("?limit=1&after={}", all[1])).await, (all[2..3].to_vec(), true));
    assert_eq!(page(&format!("?after={}", all[4])).await, (Vec::new(), false));
    // A page may begin after a session that has been deleted since.
    server.delete(&format!("/v1/sessions/{}", all[1])).await.expect(204);
    assert_eq!(page(&format!("?limit=1&after={}", all[1])).await, (all[2..3].to_vec(), true));
    for query in ["limit=0", "limit=4"] {
        let refused = server.get(&format!("/v1/sessions?{query}")).await;
        assert_eq!(refused.refused(422, "invalid_value").0, "limit");
    }
    for id in ["bx", "f", "x"] {
        create(&server, json!({"id": id, "model": "letters"})).await;
    }
    let (first, _) = page("?model=letters&limit=2").await;
    let (last, has_more) = page(&format!("?model=letters&limit=2&after={}", first[1])).await;
    assert_eq!((first.len(), has_more), (2, false));
    let mut letters = [first, last].concat();
    assert_eq!(page("?model=letters").await, (letters.clone(), false));
    letters.sort();
    assert_eq!(letters, ["bx", "f", "x"]);
    assert_eq!(server.get("/v1/sessions?model=nobody").await.refused(404, "model_not_found").0, "model");
    assert_eq!(server.get("/v1/sessions?after=a%20b").await.refused(422, "invalid_value").0, "after");
}

/// Creates a session of this model, without a request.
fn add(service: &Service, id: &str, model: &str) {
    let served = service.catalog().get(Some(model)).unwrap().clone();
    let new = NewSession {
        id: Some(SessionId::parse(id).unwrap()),
        model: served.name.clone(),
        vocab_size: served.model.info().vocab_size,
        snapshot: Snapshot::at_start(served.start.clone(), served.identity.clone()),
        ttl: None,
        extra_words: None,
        on_existing: OnExisting::Refuse,
    };
    service.sessions().create(new).unwrap();
}

/// A page, and how often the thread was free for others before it was there.
async fn listed(service: &Service, query: ListSessionsQuery) -> (SessionList, usize) {
    let mut listing = pin!(service.list_sessions(&query));
    let mut pauses = 0;
    let list = poll_fn(|context| {
        let polled = listing.as_mut().poll(context);
        pauses += usize::from(polled.is_pending());
        polled
    });
    (list.await.unwrap(), pauses)
}

#[tokio::test]
async fn a_search_through_many_sessions_lets_others_use_the_thread() {
    let server = Setup::configured(|config| config.sessions.sessions_page_max = 2000).start().await;
    let service = server.app.service().unwrap();
    for number in 0..1000 {
        add(service, &format!("s{number}"), "words");
    }
    let of = |model: &str, limit: usize| ListSessionsQuery {
        model: Some(model.to_owned()),
        limit: Some(limit),
        ..ListSessionsQuery::default()
    };
    let (none, pauses) = listed(service, of("letters", 1)).await;
    assert_eq!((none.data.len(), pauses), (0, 0), "nothing is searched where there is nothing");
    add(service, "one", "letters");
    let (one, pauses) = listed(service, of("letters", 2000)).await;
    assert_eq!((&*one.data[0].id, one.data.len(), one.has_more), ("one", 1, false));
    assert!(pauses >= 3, "{pauses} pauses");
    let (all, pauses) = listed(service, ListSessionsQuery { model: None, ..of("", 2000) }).await;
    assert_eq!((all.data.len(), all.has_more), (1001, false));
    assert!(pauses >= 3, "{pauses} pauses");
    let (most, _) = listed(service, of("words", 999)).await;
    let last = most.next_after.clone();
    assert_eq!((most.data.len(), most.has_more), (999, true));
    let (rest, _) = listed(service, ListSessionsQuery { after: last, ..of("words", 999) }).await;
    assert_eq!((rest.data.len(), rest.has_more), (1, false));
    assert!(most.data.iter().all(|session| session.id != rest.data[0].id));
}
