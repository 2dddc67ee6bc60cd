//! Access rules: all there are, more of them, fewer of them.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use tubeway_policy::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};

use super::connection::Call;
use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::text;

/// Matches whatever there is, in each field of a filter.
const ANY: i8 = 1;
/// ACLs a request. A controller takes at most 10,000 records in one go, and
/// compares each filter of a deletion with each ACL it has.
const BATCH: usize = 500;

// === impl Admin ===

impl Admin {
    /// All ACLs of the cluster. One with a type or operation that is newer than
    /// this program is left out: it cannot be one that this program made.
    pub async fn describe_acls(&self) -> Result<Vec<AclBinding>, AdminError> {
        let request = |_| {
            DescribeAclsRequest::default()
                .with_resource_type_filter(ANY)
                .with_pattern_type_filter(ANY)
                .with_operation(ANY)
                .with_permission_type(ANY)
                .with_resource_name_filter(None)
                .with_principal_filter(None)
                .with_host_filter(None)
        };
        let response = self
            .call(request, |r| {
                Refusal::check(r.error_code, r.error_message.as_ref())
            })
            .await?;
        let bindings = response.resources.iter().flat_map(|resource| {
            let acls = resource.acls.iter();
            acls.filter_map(move |acl| binding(resource, acl))
        });
        Ok(bindings.collect())
    }

    /// Creates ACLs; those that exist stay as they are. The first that is
    /// refused ends the call, with those before it created.
    pub async fn create_acls(&self, acls: &[AclBinding]) -> Result<(), AdminError> {
        for batch in acls.chunks(BATCH) {
            let request = |_| {
                CreateAclsRequest::default().with_creations(batch.iter().map(creation).collect())
            };
            let response = self
                .call(request, |r| {
                    first_error(r.results.iter().map(|r| (r.error_code, &r.error_message)))
                })
                .await?;
            answered::<CreateAclsRequest>(batch, response.results.len())?;
        }
        Ok(())
    }

    /// Deletes exactly these ACLs; those that do not exist are no error.
    pub async fn delete_acls(&self, acls: &[AclBinding]) -> Result<(), AdminError> {
        for batch in acls.chunks(BATCH) {
            let request =
                |_| DeleteAclsRequest::default().with_filters(batch.iter().map(filter).collect());
            let response = self
                .call(request, |r| {
                    let of_filters = r.filter_results.iter();
                    let of_acls = of_filters.clone().flat_map(|f| &f.matching_acls);
                    first_error(
                        of_filters
                            .map(|f| (f.error_code, &f.error_message))
                            .chain(of_acls.map(|a| (a.error_code, &a.error_message))),
                    )
                })
                .await?;
            answered::<DeleteAclsRequest>(batch, response.filter_results.len())?;
        }
        Ok(())
    }
}

fn first_error<'a>(
    mut results: impl Iterator<Item = (i16, &'a Option<kafka_protocol::protocol::StrBytes>)>,
) -> Result<(), Refusal> {
    results.try_for_each(|(code, message)| Refusal::check(code, message.as_ref()))
}

/// A broker that leaves an answer out has not done what was asked.
fn answered<R: Call>(asked: &[AclBinding], answers: usize) -> Result<(), AdminError> {
    if answers == asked.len() {
        return Ok(());
    }
    Err(AdminError::Refused {
        api: R::NAME,
        refusal: Refusal {
            error: kafka_protocol::error::ResponseError::UnknownServerError,
            message: Some(format!("{answers} answers to {} ACLs", asked.len())),
        },
    })
}

fn binding(resource: &DescribeAclsResource, acl: &AclDescription) -> Option<AclBinding> {
    Some(AclBinding {
        resource_type: ResourceType::from_code(resource.resource_type)?,
        name: resource.resource_name.to_string(),
        pattern: PatternType::from_code(resource.pattern_type)?,
        principal: acl.principal.to_string(),
        host: acl.host.to_string(),
        operation: Operation::from_code(acl.operation)?,
        permission: Permission::from_code(acl.permission_type)?,
    })
}

fn creation(acl: &AclBinding) -> AclCreation {
    AclCreation::default()
        .with_resource_type(acl.resource_type.code())
        .with_resource_name(text(&acl.name))
        .with_resource_pattern_type(acl.pattern.code())
        .with_principal(text(&acl.principal))
        .with_host(text(&acl.host))
        .with_operation(acl.operation.code())
        .with_permission_type(acl.permission.code())
}

fn filter(acl: &AclBinding) -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(acl.resource_type.code())
        .with_resource_name_filter(Some(text(&acl.name)))
        .with_pattern_type_filter(acl.pattern.code())
        .with_principal_filter(Some(text(&acl.principal)))
        .with_host_filter(Some(text(&acl.host)))
        .with_operation(acl.operation.code())
        .with_permission_type(acl.permission.code())
}
