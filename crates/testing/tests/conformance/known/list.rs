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
const HISTORY: &str = "localkube remembers everything since its start, so that nothing is old yet; it answers 410 \
     after a restart, which a test of its own shows";
const SELECTABLE: &str = "localkube has no selectable fields; no definition of ours has any";
const CEL: &str = "localkube's CEL has no isURL; no rule of ours calls it";
const CRD_CHECKS: &str = "localkube compiles rules and checks structure, but not each rule about definitions; ours are \
     checked by the real server here";
const SCHEMA_TEXT: &str =
    "the validator behind the real server finds the same wrong twice and words it by Go's types";
const POD_SECURITY: &str =
    "localkube runs pods as processes of its user and has nothing to keep them from";
const AGGREGATION: &str = "localkube does not aggregate cluster roles; nothing of ours does";
const ORDER: &str =
    "localkube appends to a list where the real server puts first; the set is the same";
const DECODED: &str = "localkube refuses the same with 400, or takes what Go's decoder refuses";
const ROUTES: &str = "paths and methods that no client uses are answered by Go's router";
const TOKEN_META: &str = "localkube's token requests do not carry the account's uid";
const TWICE: &str =
    "the real server says it twice: by the schema, and by what all kinds have in common";
const EVENTS: &str =
    "localkube says that a controller's name is required, and nothing of how an empty name looks";
const WARN: &str = "the real server warns of each field of a kind that it does not know";
const MICRO: &str = "localkube takes times without fractions where Go's decoder wants six digits";
const PROTO: &str =
    "a refusal to a client that wants protobuf is JSON, which such clients read too";
const PODS: &str =
    "localkube does not check names of containers and quantities; its agent refuses them instead";
const NODE_NAME: &str = "localkube lets a patch say where a pod runs, not only a binding";
const SUBJECT: &str =
    "localkube fills in the namespace that the real authorizer takes in its place; decisions agree";
const NULL_LEFT: &str = "of a field that is no longer applied the real server leaves an empty parent; localkube takes \
     it away";
const SAR: &str = "localkube refuses a review that names nobody with 400, or answers it";
const COLUMNS: &str =
    "localkube's tables do not describe their columns; kubectl shows no descriptions";

/// All of them. One that is gone must be taken off.
#[rustfmt::skip]
pub const KNOWN: &[Known] = &[
    known("a_bearer_does_what_roles_allow", "POST serviceaccounts/app/token", ".managedFields", TRACK),
    known("a_bearer_does_what_roles_allow", "POST serviceaccounts/app/token", ".body.metadata.uid$", TOKEN_META),
    known("a_bearer_does_what_roles_allow", "POST serviceaccounts/app/token", ".body.spec.boundObjectRef$", ZERO),
    known("a_changed_definition_takes_effect", "", ".managedFields", EAGER),
    known("a_changed_definition_takes_effect", "", ".body.status", EAGER),
    known("a_pool_keeps_its_roles_cluster_and_storage_class", "6 PATCH kafka.tubeway.dev/v1alpha1/kafkanodepools/a", ".details.causes", TWICE),
    known("a_pool_keeps_its_roles_cluster_and_storage_class", "6 PATCH kafka.tubeway.dev/v1alpha1/kafkanodepools/a", ".message", TWICE),
    known("a_selection_sees_objects_come_and_go", "WATCH test.tubeway.dev/v1/gadgets?watch=true&fieldSelector=spec.color%3Dred&resourceVersion=<made>", ".events[0]$", SELECTABLE),
    known("a_selection_sees_objects_come_and_go", "WATCH test.tubeway.dev/v1/gadgets?watch=true&fieldSelector=spec.color%3Dred&resourceVersion=<made>", ".events[1]$", SELECTABLE),
    known("a_token_ends_with_its_pod_and_its_account", "", ".managedFields", TRACK),
    known("a_token_ends_with_its_pod_and_its_account", "POST serviceaccounts/app/token", ".body.metadata.uid$", TOKEN_META),
    known("a_token_ends_with_its_pod_and_its_account", "5 POST serviceaccounts/app/token", ".body.details", TEXT),
    known("a_token_ends_with_its_pod_and_its_account", "5 POST serviceaccounts/app/token", ".message", TEXT),
    known("a_token_ends_with_its_pod_and_its_account", "POST serviceaccounts/app/token", ".body.spec.boundObjectRef$", ZERO),
    known("a_wrong_definition_is_refused", "2 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".details.causes", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "4 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".details.causes", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "2 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".message", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "4 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".message", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "5 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".message", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "3 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".code$", CRD_CHECKS),
    known("a_wrong_definition_is_refused", "6 POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", ".code$", CRD_CHECKS),
    known("aggregated_roles_gather_rules", "POST /apis/rbac.authorization.k8s.io/v1/clusterroles", ".body.rules$", AGGREGATION),
    known("aggregated_roles_gather_rules", "rules", "[0]$", AGGREGATION),
    known("an_object_that_goes_gets_no_new_finalizers", "3 PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a", ".details.causes", TWICE),
    known("an_old_version_is_gone", "WATCH kafka.tubeway.dev/v1alpha1/kafkatopics?watch=true&resourceVersion=1", ".events", HISTORY),
    known("an_old_version_is_gone", "WATCH kafka.tubeway.dev/v1alpha1/kafkatopics?watch=true&resourceVersion=1", ".message", HISTORY),
    known("an_old_version_is_gone", "WATCH kafka.tubeway.dev/v1alpha1/kafkatopics?watch=true&resourceVersion=1", ".managedFields", HISTORY),
    known("apply_needs_a_manager_and_a_clean_object", "11 PATCH configmaps/a?fieldManager=one", ".message", TEXT),
    known("apply_needs_a_manager_and_a_clean_object", "5 PATCH configmaps/a?fieldManager=one", ".message", TEXT),
    known("apply_needs_a_manager_and_a_clean_object", "6 PATCH configmaps/a?fieldManager=one", ".message", TEXT),
    known("apply_to_pods_and_services", "3 PATCH pods/p?fieldManager=one", ".message", TEXT),
    known("bodies_that_are_no_objects", "", ".message", TEXT),
    known("bounds_and_patterns_are_checked", "3 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".details.causes", SCHEMA_TEXT),
    known("bounds_and_patterns_are_checked", "3 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".message", SCHEMA_TEXT),
    known("broken_patches_are_refused", "2 PATCH configmaps/a", ".message", TEXT),
    known("broken_patches_are_refused", "3 PATCH configmaps/a", ".message", TEXT),
    known("broken_patches_are_refused", "4 PATCH configmaps/a", ".message", TEXT),
    known("broken_patches_are_refused", "5 PATCH configmaps/a", ".message", TEXT),
    known("broken_patches_are_refused", "6 PATCH configmaps/a", ".message", TEXT),
    known("broken_patches_are_refused", "5 PATCH configmaps/a", ".body.details", WORDS),
    known("broken_patches_are_refused", "6 PATCH configmaps/a", ".body.details", WORDS),
    known("broken_patches_are_refused", "7 PATCH configmaps/a", ".code$", DECODED),
    known("claims_and_accounts_get_defaults", "POST persistentvolumeclaims", ".managedFields", TRACK),
    known("claims_and_accounts_get_defaults", "4 PATCH persistentvolumeclaims/a", ".message", TEXT),
    known("claims_and_accounts_get_defaults", "5 PATCH persistentvolumeclaims/a", ".message", TEXT),
    known("claims_and_accounts_get_defaults", "8 POST policy/v1/poddisruptionbudgets", ".message", TEXT),
    known("cluster_roles_reach_as_far_as_their_binding", "ghost", ".reason$", WORDS),
    known("collections_go_by_selector", "7 DELETE test.tubeway.dev/v1/gadgets?labelSelector=%3D%3D%3D", ".message", TEXT),
    known("definitions_say_that_they_are_served", "", ".managedFields", EAGER),
    known("deletion_options_are_checked", "6 DELETE configmaps/a", ".message", TEXT),
    known("dependents_go_with_their_owner", "GET configmaps/both", ".managedFields", TRACK),
    known("events_are_checked", "2 POST events.k8s.io/v1/events", ".message", EVENTS),
    known("events_are_checked", "2 POST events.k8s.io/v1/events", ".details.causes", EVENTS),
    known("events_are_checked", "2 POST events.k8s.io/v1/events", ".message", TEXT),
    known("events_are_checked", "POST events.k8s.io/v1/events", ".body.deprecatedFirstTimestamp$", ZERO),
    known("events_are_checked", "POST events.k8s.io/v1/events", ".body.deprecatedLastTimestamp$", ZERO),
    known("events_are_checked", "POST events.k8s.io/v1/events", ".body.deprecatedSource$", ZERO),
    known("events_are_shown_by_both_groups", "", ".body.deprecatedFirstTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "", ".body.deprecatedLastTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "", ".body.deprecatedSource$", ZERO),
    known("events_are_shown_by_both_groups", "GET events/a", ".body.firstTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "GET events/a", ".body.lastTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "GET events/a", ".body.source$", ZERO),
    known("events_are_shown_by_both_groups", "GET events?fieldSelector=involvedObject.name%3Ddemo,type%3DWarning,reason%3DNotReady", ".firstTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "GET events?fieldSelector=involvedObject.name%3Ddemo,type%3DWarning,reason%3DNotReady", ".lastTimestamp$", ZERO),
    known("events_are_shown_by_both_groups", "GET events?fieldSelector=involvedObject.name%3Ddemo,type%3DWarning,reason%3DNotReady", ".source$", ZERO),
    known("events_are_shown_by_both_groups", "", ".body.eventTime$", ZERO),
    known("events_are_shown_by_both_groups", "", ".managedFields", TRACK),
    known("events_are_shown_by_both_groups", "POST events", ".body.reportingComponent$", ZERO),
    known("events_are_shown_by_both_groups", "POST events", ".body.reportingInstance$", ZERO),
    known("fields_select", "12 GET test.tubeway.dev/v1/gadgets?fieldSelector=spec.color%3Dred", ".code$", SELECTABLE),
    known("fields_select", "test.tubeway.dev/v1/gadgets?fieldSelector=spec.color%3Dred", "[0]$", SELECTABLE),
    known("fields_select", "22 GET configmaps?fieldSelector=data.a%3D1", ".message", TEXT),
    known("fields_select", "23 GET configmaps?fieldSelector=metadata.name", ".message", TEXT),
    known("kinds_and_versions_that_do_not_match", "", ".message", TEXT),
    known("kinds_and_versions_that_do_not_match", "POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".warnings$", WARN),
    known("labels_and_annotations_are_checked", "5 POST configmaps", ".message", TEXT),
    known("labels_and_annotations_are_checked", "6 POST configmaps", ".message", TEXT),
    known("labels_select", "15 GET configmaps?labelSelector=app%20in%20x", ".message", TEXT),
    known("labels_select", "16 GET configmaps?labelSelector=%3D", ".message", TEXT),
    known("labels_select", "17 GET configmaps?labelSelector=a%20b", ".message", TEXT),
    known("labels_select", "18 GET configmaps?labelSelector=app%3Dx%20y", ".message", TEXT),
    known("labels_select", "19 GET configmaps?labelSelector=app%3Ethree", ".message", TEXT),
    known("labels_select", "20 GET configmaps?labelSelector=UPPER/..%3Dx", ".message", TEXT),
    known("leases_are_checked", "4 POST coordination.k8s.io/v1/leases", ".message", TEXT),
    known("leases_are_checked", "5 POST coordination.k8s.io/v1/leases", ".message", TEXT),
    known("leases_are_checked", "6 POST coordination.k8s.io/v1/leases", ".code$", MICRO),
    known("lists_are_merged_by_key", "6 PATCH test.tubeway.dev/v1/gadgets/a?fieldManager=two", ".message", TEXT),
    known("lists_are_merged_by_key", "7 PATCH test.tubeway.dev/v1/gadgets/a?fieldManager=two", ".code$", DECODED),
    known("lists_come_in_pages", "13 GET kafka.tubeway.dev/v1alpha1/kafkatopics?limit=2&continue=rubbish", ".message", TEXT),
    known("media_types_that_are_not_known", "GET kafka.tubeway.dev/v1alpha1/kafkatopics/none", ".body$", PROTO),
    known("merges_add_change_and_remove", "7 PATCH configmaps/a", ".code$", DECODED),
    known("merges_add_change_and_remove", "8 PATCH configmaps/a", ".code$", DECODED),
    known("metadata_alone", "7 GET configmaps/a", ".body.details", WORDS),
    known("metadata_alone", "7 GET configmaps/a", ".message", TEXT),
    known("methods_that_do_not_exist", "4 PUT kafka.tubeway.dev/v1alpha1/kafkatopics", ".code$", ROUTES),
    known("methods_that_do_not_exist", "5 POST test.tubeway.dev/v1/gadgets/a", ".code$", ROUTES),
    known("methods_that_do_not_exist", "6 DELETE test.tubeway.dev/v1/gadgets/a/status", ".body.details", ROUTES),
    known("methods_that_do_not_exist", "6 DELETE test.tubeway.dev/v1/gadgets/a/status", ".message", ROUTES),
    known("names_are_checked", "POST rbac.authorization.k8s.io/v1/roles", ".body.rules$", ZERO),
    known("observed_generation_is_checked", "3 PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a/status", ".message", TEXT),
    known("observed_generation_is_checked", "6 PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a/status", ".message", TEXT),
    known("one_of_two_gets_a_lease", "9 DELETE coordination.k8s.io/v1/leases/operator", ".message", TEXT),
    known("orphans_stay", "GET configmaps/child", ".managedFields", TRACK),
    known("own_rights_can_be_listed", "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ".body.metadata$", TRACK),
    known("patches_may_not_change_identity", "4 PATCH configmaps/a", ".message", TEXT),
    known("patches_may_not_change_identity", "PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a", ".warnings$", WARN),
    known("pod_security_is_enforced", "2 POST pods", ".code$", POD_SECURITY),
    known("pod_security_is_enforced", "3 POST pods", ".code$", POD_SECURITY),
    known("pod_security_is_enforced", "4 POST pods", ".code$", POD_SECURITY),
    known("pods_are_checked", "10 POST pods", ".message", TEXT),
    known("pods_are_checked", "4 POST pods", ".code$", PODS),
    known("pods_are_checked", "9 POST pods", ".code$", PODS),
    known("pods_may_change_little", "6 a refused change", ".code$", NODE_NAME),
    known("pods_may_change_little", "PATCH pods/a/status", ".body.metadata.generation$", NODE_NAME),
    known("pods_may_change_little", "PATCH pods/a/status", ".managedFields", TRACK),
    known("pods_may_change_little", "PATCH pods/a/status", ".body.spec.nodeName$", NODE_NAME),
    known("pods_may_change_little", "PATCH pods/a/status", ".body.status.conditions", ZERO),
    known("pods_may_change_little", "PATCH pods/a/status", ".body.status.conditions", ORDER),
    known("preconditions_guard_deletion", "13 DELETE kafka.tubeway.dev/v1alpha1/kafkatopics/a", ".message", TEXT),
    known("preconditions_guard_deletion", "6 DELETE configmaps/a", ".message", TEXT),
    known("roles_are_checked", "POST rbac.authorization.k8s.io/v1/roles", ".body.rules$", ZERO),
    known("roles_are_checked", "POST rbac.authorization.k8s.io/v1/rolebindings", ".body.subjects[0].namespace$", SUBJECT),
    known("rules_may_compute_their_message_reason_and_field", "3 POST test.tubeway.dev/v1/gadgets", ".message", CEL),
    known("rules_may_compute_their_message_reason_and_field", "4 POST test.tubeway.dev/v1/gadgets", ".code$", CEL),
    known("rules_may_compute_their_message_reason_and_field", "5 PATCH test.tubeway.dev/v1/gadgets/b", ".code$", CEL),
    known("scale_reads_and_writes_replicas", "GET kafka.tubeway.dev/v1alpha1/kafkatopics/none/scale", ".body$", ROUTES),
    known("scale_reads_and_writes_replicas", "8 PATCH test.tubeway.dev/v1/gadgets/a/scale", ".code$", DECODED),
    known("secrets_have_types_and_plain_data", "1 POST secrets", ".message", TEXT),
    known("several_errors_come_at_once", "4 POST test.tubeway.dev/v1/gadgets", ".message", CEL),
    known("status_and_spec_are_written_apart", "7 PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a/status", ".message", TEXT),
    known("strategic_merges_know_lists", "PATCH pods/a", ".body.metadata.finalizers[0]$", ORDER),
    known("strategic_merges_know_lists", "PATCH pods/a", ".body.metadata.finalizers[1]$", ORDER),
    known("tables_for_people", "columns", ".description", COLUMNS),
    known("tables_for_people", "rows", "[0].object$", ZERO),
    known("token_requests_are_checked", "2 POST serviceaccounts/app/token", ".body.details", WORDS),
    known("token_requests_are_checked", "3 POST serviceaccounts/app/token", ".body.details", WORDS),
    known("token_requests_are_checked", "6 POST serviceaccounts/app/token", ".message", TEXT),
    known("token_requests_are_checked", "POST serviceaccounts/app/token", ".managedFields", TRACK),
    known("token_requests_are_checked", "POST serviceaccounts/app/token", ".body.metadata.uid$", TOKEN_META),
    known("token_requests_are_checked", "POST serviceaccounts/app/token", ".body.spec.boundObjectRef$", ZERO),
    known("tokens_are_issued_and_reviewed", "POST /apis/authentication.k8s.io/v1/tokenreviews", ".body.metadata$", TRACK),
    known("tokens_are_issued_and_reviewed", "POST /apis/authentication.k8s.io/v1/tokenreviews", ".body.status.error$", WORDS),
    known("tokens_are_issued_and_reviewed", "POST serviceaccounts/app/token", ".managedFields", TRACK),
    known("tokens_are_issued_and_reviewed", "POST serviceaccounts/app/token", ".body.metadata.uid$", TOKEN_META),
    known("tokens_are_issued_and_reviewed", "POST serviceaccounts/app/token", ".body.spec.boundObjectRef$", ZERO),
    known("types_are_checked", "12 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".code$", SCHEMA_TEXT),
    known("types_are_checked", "2 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".message", SCHEMA_TEXT),
    known("types_are_checked", "3 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".message", SCHEMA_TEXT),
    known("types_are_checked", "6 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".message", SCHEMA_TEXT),
    known("types_are_checked", "2 POST kafka.tubeway.dev/v1alpha1/kafkatopics", ".details.causes", SCHEMA_TEXT),
    known("unknown_fields_are_refused_or_warned_about", "3 PATCH test.tubeway.dev/v1/gadgets/a?fieldValidation=Strict", ".message", TEXT),
    known("unknown_fields_are_refused_or_warned_about", "8 PATCH test.tubeway.dev/v1/gadgets/b?fieldManager=m&fieldValidation=Strict", ".message", TEXT),
    known("watch_parameters_are_checked", "2 GET kafka.tubeway.dev/v1alpha1/kafkatopics?watch=true&labelSelector=%3D", ".message", TEXT),
    known("watch_parameters_are_checked", "4 GET kafka.tubeway.dev/v1alpha1/kafkatopics?watch=true&sendInitialEvents=true", ".body.details", WORDS),
    known("what_is_no_longer_applied_goes", "", ".body.metadata.resourceVersion$", NULL_LEFT),
    known("what_is_no_longer_applied_goes", "7 PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a?fieldManager=one", ".code$", NULL_LEFT),
    known("what_is_no_longer_applied_goes", "PATCH kafka.tubeway.dev/v1alpha1/kafkatopics/a?fieldManager=one", ".body.metadata.generation$", NULL_LEFT),
    known("what_is_not_there", "GET configmaps/none/status", ".body$", ROUTES),
    known("wildcards_subresources_and_paths", "21 POST /apis/authorization.k8s.io/v1/subjectaccessreviews", ".code$", SAR),
    known("wildcards_subresources_and_paths", "22 POST /apis/authorization.k8s.io/v1/subjectaccessreviews", ".code$", SAR),
    known("wildcards_subresources_and_paths", "POST /apis/authorization.k8s.io/v1/subjectaccessreviews", ".body.metadata$", TRACK),
    known("yaml_is_as_good_as_json", "3 POST configmaps", ".message", TEXT),
    known("yaml_is_as_good_as_json", "4 POST configmaps", ".message", TEXT),
];
