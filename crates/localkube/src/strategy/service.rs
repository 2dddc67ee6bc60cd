//! Services and their addresses.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{duplicate, fill, required};
use crate::pure::schema::FieldError;

/// The addresses of services: 127.96.0.0/16, so that they mean something on one machine.
const RANGE: [u8; 2] = [127, 96];

/// What an address allocation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// The service needs no address, or has its own.
    Settled,
    /// The address asked for is taken or out of range; the message says which.
    Refused(String),
    /// All addresses are taken.
    Exhausted,
}

pub(super) fn default(service: &mut Value) {
    let spec = &mut service["spec"];
    fill(
        spec,
        &json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}),
    );
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        fill(port, &json!({"protocol": "TCP"}));
        let same = port["port"].clone();
        fill(port, &json!({"targetPort": same}));
    }
}

pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    let headless = spec["clusterIP"] == "None" || spec["type"] == "ExternalName";
    if !headless && spec["ports"].as_array().is_none_or(Vec::is_empty) {
        errors.push(required("spec.ports", ""));
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let mut names = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let name = port["name"].as_str().unwrap_or_default();
        let path = format!("spec.ports[{at}].name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(required(&path, ""));
        } else if !name.is_empty() && !names.insert(name) {
            errors.push(duplicate(&path, &port["name"]));
        }
        for field in ["port", "targetPort"] {
            if let Some(number) = port[field].as_i64().filter(|at| !(1..=65535).contains(at)) {
                errors.push(FieldError {
                    path: format!("spec.ports[{at}].{field}"),
                    reason: "FieldValueInvalid",
                    message: format!(
                        "Invalid value: {number}: must be between 1 and 65535, inclusive"
                    ),
                });
            }
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.contains(&kind) {
        let supported = kinds.map(|kind| format!("{kind:?}")).join(", ");
        errors.push(FieldError {
            path: "spec.type".into(),
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {kind:?}: supported values: {supported}"),
        });
    }
    if let Some(old) = old
        && old["spec"]["type"] != "ExternalName"
        && old["spec"]["clusterIP"].is_string()
    {
        let (wanted, found) = (&spec["clusterIP"], &old["spec"]["clusterIP"]);
        if wanted != found {
            errors.push(FieldError {
                path: "spec.clusterIPs[0]".into(),
                reason: "FieldValueInvalid",
                message: format!("Invalid value: [{wanted}]: may not change once set"),
            });
        }
    }
}

/// The addresses that `services` hold.
pub(crate) fn addresses<'a>(services: impl Iterator<Item = &'a Value>) -> BTreeSet<Ipv4Addr> {
    services
        .filter_map(|service| service["spec"]["clusterIP"].as_str()?.parse().ok())
        .collect()
}

/// Gives `service` an address that is not in `taken`, if it wants one.
pub(crate) fn allocate(service: &mut Value, taken: &BTreeSet<Ipv4Addr>) -> Allocation {
    let spec = &mut service["spec"];
    if spec["type"] == "ExternalName" {
        return Allocation::Settled;
    }
    let address = match spec["clusterIP"].as_str().unwrap_or_default() {
        "" => match free(taken) {
            Some(address) => address.to_string(),
            None => return Allocation::Exhausted,
        },
        "None" => "None".into(),
        wanted => match wanted.parse::<Ipv4Addr>() {
            Ok(address) if address.octets()[..2] != RANGE => {
                return Allocation::Refused("provided IP is not in the valid range. The range of valid IPs is 127.96.0.0/16".into());
            }
            Ok(address) if taken.contains(&address) => {
                return Allocation::Refused("provided IP is already allocated".into());
            }
            Ok(address) => address.to_string(),
            Err(_) => return Allocation::Refused("must be a valid IP address".into()),
        },
    };
    // Nobody knows the addresses behind it, so it may have any.
    let selected = spec["selector"]
        .as_object()
        .is_some_and(|labels| !labels.is_empty());
    if address == "None" && !selected {
        fill(
            spec,
            &json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}),
        );
    }
    spec["clusterIPs"] = json!([address]);
    spec["clusterIP"] = address.into();
    fill(
        spec,
        &json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
    );
    Allocation::Settled
}

fn free(taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    // .0.0 and .0.1 are the network and the API itself.
    let address = |at: u16| {
        let [high, low] = at.to_be_bytes();
        Ipv4Addr::new(RANGE[0], RANGE[1], high, low)
    };
    (10..u16::MAX)
        .map(address)
        .find(|address| !taken.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_once() {
        let mut taken = BTreeSet::new();
        for _ in 0..300 {
            let mut service = json!({"spec": {}});
            assert_eq!(allocate(&mut service, &taken), Allocation::Settled);
            let address = addresses(std::iter::once(&service)).pop_first().unwrap();
            assert!(taken.insert(address));
        }
        let mut same = json!({"spec": {"clusterIP": taken.first().unwrap().to_string()}});
        assert!(matches!(
            allocate(&mut same, &taken),
            Allocation::Refused(_)
        ));
        let mut headless = json!({"spec": {"clusterIP": "None"}});
        assert_eq!(allocate(&mut headless, &taken), Allocation::Settled);
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    }
}
