//! The list.

use super::Known;

const fn known(
    case: &'static str,
    step: &'static str,
    path: &'static str,
    reason: &'static str,
) -> Known {
    Known {
        case,
        step,
        path,
        reason,
    }
}

const TEXT: &str = "the text is that of Go's decoder, of Go's diff, or shows Go's own types";
const EAGER: &str = "localkube accepts a definition in the write that makes it, not a moment later";
const WORDS: &str = "localkube says the same in its own words; code and reason agree";
const TRACK: &str = "localkube does not record who set what it does not store or filled in itself";
const ZERO: &str = "Go's types have the field in every answer; its absence means the same";
const HISTORY: &str =
    "localkube remembers everything since its start, so that nothing is old yet; it answers 410 \
     after a restart, which a test of its own shows";
const SELECTABLE: &str = "localkube has no selectable fields; no definition of ours has any";
const CEL: &str = "localkube's CEL has no isURL; no rule of ours calls it";
const CRD_CHECKS: &str =
    "localkube compiles rules and checks structure, but not each rule about definitions; ours are \
     checked by the real server here";
const SCHEMA_TEXT: &str =
    "the validator behind the real server finds the same wrong twice and words it by Go's types";
const POD_SECURITY: &str =
    "localkube runs pods as processes of its user and has nothing to keep them from";
const AGGREGATION: &str = "localkube does not aggregate cluster roles; nothing of ours does";
const ORDER: &str = "localkube appends to a list where the real server puts first; the set is the same";
const DECODED: &str = "localkube refuses the same with 400, or takes what Go's decoder refuses";
const ROUTES: &str = "paths and methods that no client uses are answered by Go's router";

/// All of them. One that is gone must be taken off.
pub const KNOWN: &[Known] = &[];
