//! Values by prefix: all whose prefix a name begins with, in one walk along the name.

use std::iter::successors;
use std::ops::Range;

/// A radix tree, laid out for reading: the children of a node lie side by side,
/// so that a step looks at a few bytes of one list and at one node of another.
///
/// Prefixes are given in ascending order, and then the tree is grown once.
#[derive(Debug, Clone)]
pub(super) struct Prefixes<T> {
    /// The prefixes given; none once the tree is grown.
    given: Vec<Box<str>>,
    /// Their values, in the same order.
    values: Vec<T>,
    /// The root first, then level by level.
    nodes: Vec<Node>,
    /// The first byte of each node's label, and any for the root.
    firsts: Vec<u8>,
    /// What is left of the labels.
    labels: Vec<u8>,
}

/// One node. Lists are addressed with 32 bits: what fits into memory is far less.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Where its label goes on in `labels` after its first byte, and how far.
    label: u32,
    label_length: u32,
    /// Where its children begin, and how many there are: 256 at most.
    children: u32,
    children_length: u16,
    has_value: bool,
    /// Where its value is, if it has one.
    value: u32,
}

// === impl Prefixes ===

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            values: Vec::new(),
            nodes: Vec::new(),
            firsts: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl<T: Default> Prefixes<T> {
    /// The value of this prefix, which is the last one given or comes after it.
    pub(super) fn entry(&mut self, prefix: &str) -> &mut T {
        let last = self.given.last().map(AsRef::as_ref);
        debug_assert!(last.is_none_or(|last| last <= prefix), "ascending order");
        if last != Some(prefix) || self.values.is_empty() {
            self.given.push(prefix.into());
            self.values.push(T::default());
        }
        let last = self.values.len() - 1;
        &mut self.values[last]
    }
}

impl<T> Prefixes<T> {
    /// The values of all prefixes of `name`, shortest first.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a T> {
        let root = self.nodes.first().map(|root| (root, name.as_bytes()));
        successors(root, |(node, rest)| self.below(node, rest))
            .filter(|(node, _)| node.has_value)
            .map(|(node, _)| &self.values[node.value as usize])
    }

    /// Grows the tree of what was given.
    pub(super) fn grow(&mut self) {
        let given = std::mem::take(&mut self.given);
        if given.is_empty() {
            return;
        }
        self.push(0, &[]);
        // For each node the prefixes below it, and how long its own is.
        let mut open = vec![(0..given.len(), 0)];
        let mut at = 0;
        while let Some((range, depth)) = open.get(at).cloned() {
            let below = self.take_value(at, &range, given[range.start].len() == depth);
            self.nodes[at].children = self.nodes.len() as u32;
            for group in groups(&given[below.clone()], depth) {
                let group = below.start + group.start..below.start + group.end;
                let (first, last) = (&given[group.start], &given[group.end - 1]);
                let shared = shared(first.as_bytes(), last.as_bytes());
                self.push(
                    first.as_bytes()[depth],
                    &first.as_bytes()[depth + 1..shared],
                );
                self.nodes[at].children_length += 1;
                open.push((group, shared));
            }
            at += 1;
        }
    }

    /// Gives a node the value of its own prefix, if there is one, and returns
    /// the prefixes that are longer.
    fn take_value(&mut self, node: usize, range: &Range<usize>, own: bool) -> Range<usize> {
        if !own {
            return range.clone();
        }
        self.nodes[node].has_value = true;
        self.nodes[node].value = range.start as u32;
        range.start + 1..range.end
    }

    /// The child that `rest` goes on to, and what is left of it there.
    fn below<'a>(&'a self, node: &Node, rest: &'a [u8]) -> Option<(&'a Node, &'a [u8])> {
        let (first, rest) = rest.split_first()?;
        let children =
            node.children as usize..node.children as usize + node.children_length as usize;
        let found = self.firsts[children.clone()]
            .iter()
            .position(|byte| byte == first)?;
        let child = &self.nodes[children.start + found];
        let label = child.label as usize..(child.label + child.label_length) as usize;
        Some((child, rest.strip_prefix(&self.labels[label])?))
    }

    fn push(&mut self, first: u8, label: &[u8]) {
        self.nodes.push(Node {
            label: self.labels.len() as u32,
            label_length: label.len() as u32,
            ..Node::default()
        });
        self.firsts.push(first);
        self.labels.extend_from_slice(label);
    }
}

/// Ranges of sorted texts that have the same byte at `depth`; all are longer.
fn groups(texts: &[Box<str>], depth: usize) -> impl Iterator<Item = Range<usize>> {
    let byte = move |i: usize| texts[i].as_bytes()[depth];
    let from = move |start: usize| {
        (start < texts.len()).then(|| {
            let same = texts[start..].partition_point(|t| t.as_bytes()[depth] == byte(start));
            start..start + same
        })
    };
    successors(from(0), move |range| from(range.end))
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

    fn tree<'a>(prefixes: &[&'a str]) -> Prefixes<&'a str> {
        let mut tree = Prefixes::default();
        for prefix in prefixes {
            *tree.entry(prefix) = *prefix;
            // Again, as for a second rule of the same prefix.
            assert_eq!(tree.entry(prefix), prefix);
        }
        tree.grow();
        tree
    }

    #[test]
    fn a_name_finds_its_prefixes_from_short_to_long() {
        let tree = tree(&["", "a", "abc", "abd", "\u{e8}", "\u{e9}t"]);
        let found = |name: &str| tree.of(name).copied().collect::<Vec<_>>();
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
        let name = "x".repeat(3_000);
        let prefixes: Vec<_> = (0..name.len()).map(|length| &name[..length]).collect();
        assert!(tree(&prefixes).of(&name).eq(&prefixes));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn exactly_the_prefixes_are_found(
            prefixes in proptest::collection::vec("[ab\u{e9}\u{e8}]{0,5}", 0..20),
            name in "[ab\u{e9}\u{e8}]{0,6}",
        ) {
            let sorted: BTreeSet<_> = prefixes.iter().map(String::as_str).collect();
            let sorted: Vec<_> = sorted.into_iter().collect();
            let tree = tree(&sorted);
            // Of prefixes of one name, the shorter is also the smaller.
            let expected: Vec<_> = sorted.into_iter().filter(|p| name.starts_with(p)).collect();
            prop_assert_eq!(tree.of(&name).copied().collect::<Vec<_>>(), expected);
        }
    }
}
