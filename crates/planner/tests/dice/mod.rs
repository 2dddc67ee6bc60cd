//! Chance that can be had again.

use proptest::prelude::ProptestConfig;

/// The numbers after a seed: the same seed, the same world.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

// === impl Dice ===

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // The splitmix64 generator.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// This many different ones of these, in random order.
    pub fn some<T: Copy>(&mut self, of: &[T], count: usize) -> Vec<T> {
        let mut left = of.to_vec();
        let count = count.min(left.len());
        let drawn = (0..count).map(|_| left.swap_remove(self.below(left.len() as u64) as usize));
        drawn.collect()
    }
}

/// As many cases as `PROPTEST_CASES` says, or this many: enough for every day.
pub fn cases(usual: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return ProptestConfig::default();
    }
    ProptestConfig::with_cases(usual)
}
