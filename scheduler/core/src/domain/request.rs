//! What a layer asks of a host, with the sentinels of the columns resolved.

use super::amount::Centicores;

/// `layer.int_cores_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoreRequest {
    /// A positive value: at least this many.
    Exactly(Centicores),
    /// 0: the whole of an idle host.
    WholeHost,
    /// Negative: the whole of an idle host but this many (given as a positive amount).
    AllBut(Centicores),
}

impl CoreRequest {
    /// From the column, in centicores.
    pub fn from_column(cores_min: i64) -> Self {
        match cores_min {
            0 => Self::WholeHost,
            n if n < 0 => Self::AllBut(Centicores(n.saturating_neg())),
            n => Self::Exactly(Centicores(n)),
        }
    }
}

/// `host.int_thread_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadMode {
    /// 0, and any number that is not known: cores in balance with memory.
    #[default]
    Auto,
    /// 1: every idle core for a threadable frame; other frames are not taken.
    All,
    /// 2: as auto, but a small threadable frame gets two cores.
    Variable,
}

impl ThreadMode {
    /// From the column.
    pub fn from_column(mode: i32) -> Self {
        match mode {
            1 => Self::All,
            2 => Self::Variable,
            _ => Self::Auto,
        }
    }
}
