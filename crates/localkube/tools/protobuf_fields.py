#!/usr/bin/env python3
"""Writes src/api/protobuf/messages.txt: the fields of Kubernetes' protobuf messages.

The facts (number, JSON name, type of each field) are those of the Go structs' tags in the
modules k8s.io/api and k8s.io/apimachinery:

    go mod download k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2
    tools/protobuf_fields.py "$(go env GOMODCACHE)"/k8s.io v0.37.2 > src/api/protobuf/messages.txt
"""

import pathlib
import re
import sys

# Package of the Go source -> short name here.
PACKAGES = {
    "api/core/v1": "core",
    "api/authentication/v1": "authentication",
    "api/authorization/v1": "authorization",
    "api/autoscaling/v1": "autoscaling",
    "api/coordination/v1": "coordination",
    "api/discovery/v1": "discovery",
    "api/events/v1": "events",
    "api/policy/v1": "policy",
    "api/rbac/v1": "rbac",
    "api/storage/v1": "storage",
    "apimachinery/pkg/apis/meta/v1": "meta",
}
IMPORTS = {"metav1": "meta", "v1": "core", "corev1": "core", "rbacv1": "rbac"}
SPECIAL = {
    "meta.Time": "time",
    "meta.MicroTime": "microtime",
    "meta.Duration": "duration",
    "meta.FieldsV1": "json",
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "intorstring",
    "runtime.RawExtension": "json",
    "types.UID": "string",
    "types.NodeName": "string",
}
SCALARS = {
    "string": "string", "bool": "bool", "int": "int", "int32": "int", "int64": "int",
    "uint8": "int", "uint32": "int", "uint64": "int", "float64": "double", "byte": "byte",
}
ROOTS = """core.Binding core.ConfigMap core.Endpoints core.Event core.Namespace core.Node core.PersistentVolume
core.PersistentVolumeClaim core.Pod core.Secret core.Service core.ServiceAccount authentication.SelfSubjectReview
authentication.TokenRequest authentication.TokenReview authorization.LocalSubjectAccessReview
authorization.SelfSubjectAccessReview authorization.SelfSubjectRulesReview authorization.SubjectAccessReview
autoscaling.Scale coordination.Lease discovery.EndpointSlice events.Event meta.DeleteOptions policy.Eviction
policy.PodDisruptionBudget rbac.ClusterRole rbac.ClusterRoleBinding rbac.Role rbac.RoleBinding
storage.StorageClass""".split()

structs, aliases = {}, {}


def read(text, package):
    for name, target in re.findall(r"^type (\w+) (?!struct)([\w\[\].*]+)", text, re.M):
        aliases[f"{package}.{name}"] = (package, target)
    for name, body in re.findall(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
        fields = []
        for line in body.splitlines():
            found = re.match(r"\s+(?:(\w+)\s+)?([\w\[\].*]+)\s+`(.*)`", line)
            if not found:
                continue
            number = re.search(r'protobuf:"(\w+),(\d+),', found[3])
            json = re.search(r'json:"([^",]*)([^"]*)"', found[3])
            if number and json and json[1] != "-":
                fields.append((int(number[2]), json[1] or "-", found[2]))
        structs[f"{package}.{name}"] = fields


def resolve(package, text):
    """The type here of a Go type, and the messages it needs."""
    if text.startswith("*"):
        inner, needs = resolve(package, text[1:])
        return "?" + inner, needs
    if text == "[]byte":
        return "bytes", []
    if text.startswith("[]"):
        inner, needs = resolve(package, text[2:])
        return "[]" + inner.lstrip("?"), needs
    found = re.match(r"map\[[\w.]+\](.*)", text)
    if found:
        inner, needs = resolve(package, found[1])
        return "{}" + inner, needs
    if text in SCALARS:
        return SCALARS[text], []
    if "." in text:
        prefix, name = text.split(".")
        text = f"{IMPORTS.get(prefix, prefix)}.{name}"
    else:
        text = f"{package}.{text}"
    if text in SPECIAL:
        return SPECIAL[text], []
    if text in structs:
        return text, [text]
    target = aliases[text]
    inner, needs = resolve(*target)
    # A named list is a message of its own, with the items in field 1.
    return ("items" if inner == "[]string" else inner), needs


def main():
    base, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    for path, package in PACKAGES.items():
        module, rest = path.split("/", 1)
        for file in sorted((base / f"{module}@{version}" / rest).glob("*.go")):
            if not file.name.endswith("_test.go"):
                read(file.read_text(), package)
    done, todo = {}, list(ROOTS)
    while todo:
        name = todo.pop()
        if name in done:
            continue
        parts = []
        for number, json, go in sorted(structs[name]):
            kind, needs = resolve(name.split(".")[0], go)
            todo += needs
            parts.append(f"{number}={json}:{kind}")
        done[name] = parts
    print(f"# Fields of Kubernetes' protobuf messages, {version}; made by tools/protobuf_fields.py.")
    print("# number=name:type; '-' is a struct whose fields are those of its parent; ?T may be absent.")
    for name in sorted(done):
        print(" ".join([name, *done[name]]))


main()
