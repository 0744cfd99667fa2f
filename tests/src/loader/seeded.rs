//! Ids and draws that follow from a seed alone.
//!
//! A run that failed is repeated with its seed, years later and with other versions of every library: so neither ids nor
//! draws come from a library whose sequence may change.

/// Makes ids from names.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    seed: u64,
    upper_case: bool,
}

impl Ids {
    /// Ids of the farm with this seed.
    pub fn new(seed: u64, upper_case: bool) -> Self {
        Self { seed, upper_case }
    }

    /// The id of the thing of this kind and name: text in the form of a random (version 4) UUID. Names are joined so that
    /// `["a", "bc"]` and `["ab", "c"]` differ.
    pub fn id(&self, kind: &str, names: &[&str]) -> String {
        // FNV-1a over 128 bits, whose constants are published; then mixed, since it moves the upper bits little for names
        // that differ in their last letters only.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes {
                hash ^= u128::from(*byte);
                hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            }
        };
        eat(&self.seed.to_le_bytes());
        eat(kind.as_bytes());
        for name in names {
            eat(&[0]);
            eat(name.as_bytes());
        }
        let low = mix(hash as u64);
        let high = mix((hash >> 64) as u64 ^ low);
        let bytes = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        if self.upper_case { id.hyphenated().to_string().to_uppercase() } else { id.hyphenated().to_string() }
    }
}

/// Draws of a generator, after the published `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as usize) as i64
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `count` different ones of `0..n`, fewer if there are not so many.
    pub fn distinct(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..n).collect();
        (0..count.min(n))
            .map(|_| {
                let at = self.below(rest.len());
                rest.swap_remove(at)
            })
            .collect()
    }

    /// From a lognormal distribution with this mean; `sigma` is the deviation of the logarithm.
    pub fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        // Box and Muller; the first draw is kept away from zero, whose logarithm does not exist.
        let (a, b) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_the_same_for_ever_and_different_for_every_name() {
        let ids = Ids::new(7, false);
        assert_eq!(ids.id("job", &["a"]), Ids::new(7, false).id("job", &["a"]));
        let mut seen = HashSet::new();
        for kind in ["job", "layer"] {
            for name in 0..20_000 {
                assert!(seen.insert(ids.id(kind, &[&name.to_string()])));
            }
        }
        assert_ne!(ids.id("job", &["a", "bc"]), ids.id("job", &["ab", "c"]));
        assert_ne!(ids.id("job", &["a"]), Ids::new(8, false).id("job", &["a"]));
        assert_eq!(ids.id("job", &["a"]).to_uppercase(), Ids::new(7, true).id("job", &["a"]));
    }

    #[test]
    fn draws_stay_in_their_bounds_and_reach_both() {
        let mut draws = Draws::new(1);
        let seen: HashSet<i64> = (0..1_000).map(|_| draws.between(-2, 3)).collect();
        assert_eq!(seen, (-2..=3).collect());
        assert_eq!(Draws::new(3).distinct(5, 9).into_iter().collect::<HashSet<_>>(), (0..5).collect());
    }

    #[test]
    fn a_lognormal_draw_keeps_its_mean() {
        let mut draws = Draws::new(5);
        let mean = (0..20_000).map(|_| draws.lognormal(10.0, 0.5)).sum::<f64>() / 20_000.0;
        assert!((mean - 10.0).abs() < 0.3, "{mean}");
    }
}
