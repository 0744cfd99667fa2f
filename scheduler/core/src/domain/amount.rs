//! Amounts with their unit.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

macro_rules! amounts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }
    )+};
}

amounts! {
    /// Hundredths of a core, the unit of every `int_cores*` column: 100 is one core.
    Centicores,
    /// Memory in kibibytes, the unit of every `int_mem*` and `int_gpu_mem*` column.
    Kb,
    /// Whole GPUs.
    Gpus,
    /// Frames, where limits count them.
    Frames,
    /// Hosts, where limits count them.
    Hosts,
}

impl Centicores {
    /// One core.
    pub const CORE: Self = Self(100);

    /// `n` whole cores.
    pub const fn cores(n: i64) -> Self {
        Self(n.saturating_mul(100))
    }

    /// The whole cores in it, a fraction dropped.
    pub const fn whole_cores(self) -> i64 {
        self.0.div_euclid(100)
    }

    /// Rounded up to a whole core, since the Rust agent refuses fractions.
    pub const fn round_up(self) -> Self {
        Self(self.0.saturating_add(99).div_euclid(100).saturating_mul(100))
    }

    /// Rounded down to a whole core.
    pub const fn round_down(self) -> Self {
        Self(self.whole_cores().saturating_mul(100))
    }
}

impl fmt::Display for Centicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} cores", self.0 / 100, (self.0 % 100).abs())
    }
}

/// What a frame takes from a host, or what a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// Cores.
    pub cores: Centicores,
    /// Main memory.
    pub memory: Kb,
    /// GPUs.
    pub gpus: Gpus,
    /// Memory of all GPUs together.
    pub gpu_memory: Kb,
}

impl Resources {
    /// Whether `self` fits into `idle` in all four dimensions.
    pub fn fits(&self, idle: &Self) -> bool {
        self.cores <= idle.cores
            && self.memory <= idle.memory
            && self.gpus <= idle.gpus
            && self.gpu_memory <= idle.gpu_memory
    }
}

impl Sub for Resources {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            cores: self.cores - other.cores,
            memory: self.memory - other.memory,
            gpus: self.gpus - other.gpus,
            gpu_memory: self.gpu_memory - other.gpu_memory,
        }
    }
}
