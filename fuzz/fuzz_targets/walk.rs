//! A walk in chunks sees what a walk of the whole sees, and spans lie within the body.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tubeway_protocol::walk::{Event, Interest, Mark, Span, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Schemas};

fuzz_target!(|input: (u8, u8, bool, u8, &[u8])| {
    let (key, version, response, chunk, body) = input;
    let direction = if response {
        Direction::Response
    } else {
        Direction::Request
    };
    let Ok(layout) = Schemas::get().layout(ApiKey(key.into()), version.into(), direction) else {
        return;
    };
    let names: Vec<String> = layout
        .all_fields()
        .map(|id| format!("**.{}", layout.field(id).name()))
        .collect();
    let paths: Vec<(&str, Mark)> = names.iter().map(|name| (&**name, Mark(0))).collect();
    let Ok(interest) = Interest::new(layout, &paths) else {
        return;
    };
    let interest = Arc::new(interest);
    let whole = walk(&interest, body, body.len());
    let parts = walk(&interest, body, usize::from(chunk));
    assert_eq!(whole.is_some(), parts.is_some());
    if whole.is_some() {
        assert_eq!(whole, parts);
    }
});

fn walk(interest: &Arc<Interest>, body: &[u8], chunk: usize) -> Option<Vec<Span>> {
    let end = body.len() as u64;
    let mut walker = Walker::new(interest.clone(), 0, end, Trailing::Refuse);
    let mut spans = Vec::new();
    let mut visit = |event: Event<'_>| {
        assert!(event.span.start <= event.span.end && event.span.end <= end);
        spans.push(event.span);
    };
    walker.feed(&[], &mut visit).ok()?;
    for chunk in body.chunks(chunk.max(1)) {
        walker.feed(chunk, &mut visit).ok()?;
    }
    assert!(walker.is_done());
    Some(spans)
}
