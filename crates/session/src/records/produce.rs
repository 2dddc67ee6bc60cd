//! Produce.

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::Resource;
use tubeway_protocol::Layout;
use tubeway_protocol::value::{Struct, Value};

use crate::access::Questions;
use crate::guard::Guard;
use crate::places::{Denied, Found, Key, PRODUCE};
use crate::records::{Opening, RecordsAmendment, rest};
use crate::verdict::{Amendment, Outcome, TreeError, put_together, response, take_apart};

/// Error code TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
pub(super) const TRANSACTION_DENIED: i16 = 53;
/// Kafka writes what is allowed and closes the connection: a request without
/// acknowledgement has no answer that could carry the error.
pub(crate) const UNACKNOWLEDGED: &str = "a produce request that wants no answer was denied";

pub(super) fn decide(
    guard: &Guard,
    layout: &'static Layout,
    body: &[u8],
    found: Found,
) -> Result<Outcome, TreeError> {
    if !found.ask.is_empty() {
        return Ok(Outcome::Ask(Questions::ids(found.ask)));
    }
    let whole = denies_transaction(guard, &found);
    if !found.denied && !whole {
        return Ok(Outcome::Pass(Amendment::None));
    }
    let mut request = take_apart(layout, body)?;
    let denied = if whole {
        PRODUCE.take_all(&mut request, TRANSACTION_DENIED)
    } else {
        PRODUCE.cut(guard, &mut request)
    };
    let nothing_left = request.structs(PRODUCE.topics).next().is_none();
    if request.int("Acks") == 0 {
        return Ok(if nothing_left {
            Outcome::Close(UNACKNOWLEDGED)
        } else {
            Outcome::ServeAndClose(put_together(&request)?, UNACKNOWLEDGED)
        });
    }
    if nothing_left {
        let mut answer = response(layout.api(), layout.version())?;
        refuse(&mut answer, &denied);
        return Ok(Outcome::Answer(Box::new(answer)));
    }
    let amendment = Amendment::Records(Box::new(RecordsAmendment {
        api: layout.api(),
        version: layout.version(),
        denied: denied.clone(),
        opening: Opening::None,
        fingerprint: guard.fingerprint(),
        in_session: false,
    }));
    Ok(match rest(&request, &denied)? {
        Some(body) => Outcome::Instead(body, amendment),
        None => Outcome::Pass(Amendment::None),
    })
}

/// Whether the request belongs to a transaction that the caller may not use.
/// It is the batches that say whether it does (CVE-2018-17196).
pub(crate) fn denies_transaction(guard: &Guard, found: &Found) -> bool {
    found.transactional
        && !found
            .transaction
            .as_deref()
            .is_some_and(|id| guard.allows(Operation::Write, Resource::transactional_id(id)))
}

/// Puts refusals into a response.
pub(super) fn refuse(response: &mut Struct, denied: &[Denied]) {
    let Some(template) = response.child("Responses") else {
        return;
    };
    let mut entries = Vec::new();
    for denied in denied {
        let mut entry = template.clone();
        denied.topic.name_in(&mut entry, "Name");
        let refused = denied.partitions.iter().filter_map(|index| {
            let mut partition = entry.child("PartitionResponses")?;
            partition.set("Index", *index);
            partition.set("ErrorCode", denied.error);
            partition.set("BaseOffset", -1_i64);
            Some(Value::from(partition))
        });
        let refused: Vec<_> = refused.collect();
        if let Some(partitions) = partitions_of(response, &denied.topic) {
            partitions.extend(refused);
        } else {
            entry.set("PartitionResponses", Value::Array(refused));
            entries.push(Value::from(entry));
        }
    }
    if let Some(Value::Array(topics)) = response.get_mut("Responses") {
        topics.extend(entries);
    }
}

/// The partitions of the topic's entry, if the broker has made one.
fn partitions_of<'a>(response: &'a mut Struct, topic: &Key) -> Option<&'a mut Vec<Value>> {
    let Value::Array(topics) = response.get_mut("Responses")? else {
        return None;
    };
    let entry = topics.iter_mut().find_map(|entry| match entry {
        Value::Struct(entry) if PRODUCE.key(entry).as_ref() == Some(topic) => Some(entry),
        _ => None,
    })?;
    match entry.get_mut("PartitionResponses")? {
        Value::Array(partitions) => Some(partitions),
        _ => None,
    }
}
