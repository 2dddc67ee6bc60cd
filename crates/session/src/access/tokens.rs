//! Delegation tokens (KIP-48, KIP-373).
//!
//! A broker refuses token requests from connections without a login of their
//! own: plaintext, anonymous TLS, or logged in by a token. A sidecar logs in to
//! it with OAUTHBEARER as the caller, so requests are as good as the caller's,
//! and whose tokens may be renewed or expired the broker knows itself.

use bytes::Bytes;
use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::Struct;

use super::amend::Amend;
use super::refusals::TOKEN_DENIED;
use super::{Access, Case, Verdict, tree};

/// CreateDelegationToken: for somebody else only with a right on that user.
pub(super) fn create(case: &Case<'_>) -> Verdict {
    let name = tree::bytes(case.request, "OwnerPrincipalName");
    let kind = tree::bytes(case.request, "OwnerPrincipalType");
    let owner = principal(&kind, &name);
    let caller = &case.access.caller.principal;
    if name.is_empty()
        || owner == caller.as_bytes()
        || case
            .access
            .may(Operation::CreateTokens, ResourceType::User, &owner)
    {
        return Verdict::Pass;
    }
    let (caller_kind, caller_name) = caller.split_once(':').unwrap_or(("User", caller));
    let mut answer = case.blank();
    answer.set("ErrorCode", TOKEN_DENIED);
    answer.set("PrincipalType", tree::text(&kind));
    answer.set("PrincipalName", tree::text(&name));
    answer.set("TokenRequesterPrincipalType", caller_kind);
    answer.set("TokenRequesterPrincipalName", caller_name);
    for field in ["IssueTimestampMs", "ExpiryTimestampMs", "MaxTimestampMs"] {
        answer.set(field, -1_i64);
    }
    Verdict::Answer(answer)
}

/// DescribeDelegationToken: one's own, and those that rules show.
pub(super) fn describe(_: &Case<'_>) -> Verdict {
    Verdict::Amend(Amend::rule(|access, response| {
        tree::retain(response, "Tokens", |token| sees(access, token));
    }))
}

fn sees(access: &Access<'_>, token: &Struct) -> bool {
    let caller = access.caller.principal.as_bytes();
    let is = |of: &Struct, kind, name| {
        principal(&tree::bytes(of, kind), &tree::bytes(of, name)) == caller
    };
    let owner = principal(
        &tree::bytes(token, "PrincipalType"),
        &tree::bytes(token, "PrincipalName"),
    );
    owner == caller
        || is(
            token,
            "TokenRequesterPrincipalType",
            "TokenRequesterPrincipalName",
        )
        || token
            .structs("Renewers")
            .any(|renewer| is(renewer, "PrincipalType", "PrincipalName"))
        || access.may(
            Operation::Describe,
            ResourceType::DelegationToken,
            &tree::bytes(token, "TokenId"),
        )
        || access.may(Operation::DescribeTokens, ResourceType::User, &owner)
}

/// `Type:name`.
fn principal(kind: &Bytes, name: &Bytes) -> Vec<u8> {
    [kind, &b":"[..], name].concat()
}
