//! Values by prefix: all whose prefix a name begins with, in one walk along the name.

use std::iter::successors;

/// A radix tree. Nodes lie in one list and point into it, so that a chain of
/// any depth is built, walked and dropped without recursion.
#[derive(Debug, Clone)]
pub(super) struct Prefixes<T> {
    /// The first is the root, with an empty label; none before the first entry.
    nodes: Vec<Node<T>>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    /// What this node adds to its parent's prefix; empty only at the root.
    label: Box<[u8]>,
    /// The first byte of each child's label, ascending.
    firsts: Vec<u8>,
    /// Where the children are, in the order of `firsts`.
    children: Vec<u32>,
    value: Option<T>,
}

// === impl Prefixes ===

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { nodes: Vec::new() }
    }
}

impl<T> Prefixes<T> {
    /// The values of all prefixes of `name`, shortest first.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a T> {
        let root = self.nodes.first().map(|root| (root, name.as_bytes()));
        successors(root, |(node, rest)| self.below(node, rest))
            .filter_map(|(node, _)| node.value.as_ref())
    }

    /// The value of exactly this prefix, to be read or set.
    pub(super) fn entry(&mut self, prefix: &str) -> &mut Option<T> {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(&[]));
        }
        let mut at = 0;
        let mut rest = prefix.as_bytes();
        while let Some(first) = rest.first() {
            at = match self.nodes[at].firsts.binary_search(first) {
                Ok(found) => {
                    let child = self.nodes[at].children[found] as usize;
                    let shared = shared(&self.nodes[child].label, rest);
                    self.split(child, shared);
                    rest = &rest[shared..];
                    child
                }
                Err(place) => {
                    let child = self.push(Node::new(rest));
                    self.nodes[at].firsts.insert(place, *first);
                    self.nodes[at].children.insert(place, child);
                    rest = &[];
                    child as usize
                }
            };
        }
        &mut self.nodes[at].value
    }

    /// The child that `rest` goes on to, and what is left of it there.
    fn below<'a>(&'a self, node: &Node<T>, rest: &'a [u8]) -> Option<(&'a Node<T>, &'a [u8])> {
        let found = node.firsts.binary_search(rest.first()?).ok()?;
        let child = &self.nodes[node.children[found] as usize];
        Some((child, rest.strip_prefix(&*child.label)?))
    }

    /// Cuts a node's label: it keeps `length` bytes, and a new child the rest.
    fn split(&mut self, node: usize, length: usize) {
        let upper = &mut self.nodes[node];
        if length == upper.label.len() {
            return;
        }
        let mut lower = Node::new(&upper.label[length..]);
        let first = lower.label[0];
        upper.label = upper.label[..length].into();
        std::mem::swap(&mut lower.firsts, &mut upper.firsts);
        std::mem::swap(&mut lower.children, &mut upper.children);
        lower.value = upper.value.take();
        let lower = self.push(lower);
        self.nodes[node].firsts.push(first);
        self.nodes[node].children.push(lower);
    }

    fn push(&mut self, node: Node<T>) -> u32 {
        self.nodes.push(node);
        // Far fewer nodes than 2^32 fit into memory.
        (self.nodes.len() - 1) as u32
    }
}

// === impl Node ===

impl<T> Node<T> {
    fn new(label: &[u8]) -> Self {
        Self {
            label: label.into(),
            firsts: Vec::new(),
            children: Vec::new(),
            value: None,
        }
    }
}

/// How many bytes two texts have in common at their beginning.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_finds_its_prefixes_from_short_to_long() {
        let mut tree = Prefixes::default();
        for prefix in ["abc", "a", "", "abd", "\u{e9}t", "\u{e8}"] {
            *tree.entry(prefix) = Some(prefix.to_owned());
        }
        let found = |name: &str| tree.of(name).cloned().collect::<Vec<_>>();
        assert_eq!(found("abcx"), ["", "a", "abc"]);
        assert_eq!(found("abc"), ["", "a", "abc"]);
        assert_eq!(found("ab"), ["", "a"]);
        // The two letters begin with the same byte of UTF-8.
        assert_eq!(found("\u{e9}t\u{e9}"), ["", "\u{e9}t"]);
        assert_eq!(found("\u{e8}"), ["", "\u{e8}"]);
        assert_eq!(Prefixes::<u8>::default().of("a").count(), 0);
    }

    #[test]
    fn a_deep_chain_is_found_whole() {
        let mut tree = Prefixes::default();
        let name = "x".repeat(3_000);
        for length in 0..name.len() {
            *tree.entry(&name[..length]) = Some(length);
        }
        assert!(tree.of(&name).copied().eq(0..name.len()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn exactly_the_prefixes_are_found(
            prefixes in proptest::collection::vec("[ab\u{e9}\u{e8}]{0,5}", 0..20),
            name in "[ab\u{e9}\u{e8}]{0,6}",
        ) {
            let mut tree = Prefixes::default();
            for prefix in &prefixes {
                *tree.entry(prefix) = Some(prefix.as_str());
            }
            let mut expected: Vec<_> = prefixes.iter().map(String::as_str)
                .filter(|p| name.starts_with(p))
                .collect::<BTreeSet<_>>().into_iter().collect();
            expected.sort_by_key(|p| p.len());
            prop_assert_eq!(tree.of(&name).copied().collect::<Vec<_>>(), expected);
        }
    }
}
