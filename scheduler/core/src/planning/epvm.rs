//! The E-PVM strategy: the host on which the least is left over when the layer has filled it.
//!
//! A score counts frame-sized pieces. As many frames as possible are imagined on the host, as far as its scarcest resource,
//! the caps and the frames that wait allow; what is then left of each resource, measured in frames, is weighed and summed. 0
//! is a perfect fit. A frame without GPUs pays for the GPUs and their memory that lie idle on the host, so that it goes
//! elsewhere while it can.
//!
//! Ours differs from the retired scheduler's in four points: a frame's size is what it would really reserve there, not the
//! layer's minimum; no more frames are imagined than wait, or than *any* cap allows; a layer that asks for memory of GPUs
//! needs GPUs; and that memory is in bytes, where it was 2.3 % short. Which hosts are scored is the index's business.

use std::cmp::Ordering;

use crate::domain::amount::{Kb, Resources};

/// The strategy's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Epvm {
    /// How many hosts are scored for a layer's next frames; 0 counts as 1.
    pub max_candidates: u32,
    /// What left-over pieces count.
    pub weights: Weights,
}

/// The weights of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Of left-over cores.
    pub cores: f64,
    /// Of left-over memory.
    pub memory: f64,
    /// Of left-over GPUs, for layers that need GPUs.
    pub gpus: f64,
    /// Of left-over GPU memory, for layers that need GPUs.
    pub gpu_memory: f64,
    /// Of each idle GPU, for layers that need none.
    pub gpu_count_reservation: f64,
    /// Of each idle gigabyte (10⁹ bytes) of GPU memory, for layers that need none.
    pub gpu_memory_reservation: f64,
}

/// A score; the least is the best. Ordered totally, so that absurd weights make no difference between two runs.
#[derive(Clone, Copy, Debug)]
pub struct Points(pub f64);

impl Ord for Points {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Points {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Points {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Points {}

impl Weights {
    /// The score of a host with `idle` for frames of `size`, of which caps and waiting work allow `frames`, at least 1.
    pub fn points(&self, idle: &Resources, size: &Resources, frames: i64) -> Points {
        let dimensions = [
            (idle.cores.whole_cores(), size.cores.whole_cores()),
            (idle.memory.0, size.memory.0),
            (idle.gpus.0, size.gpus.0),
            (idle.gpu_memory.0, size.gpu_memory.0),
        ];
        let fit = dimensions.iter().filter(|(_, part)| *part > 0).map(|(whole, part)| whole / part);
        let frames = fit.fold(frames, i64::min).max(1);
        let [cores, memory, gpus, gpu_memory] = dimensions.map(|(whole, part)| left_over(whole, part, frames));
        let of_gpus = if size.gpus.0 > 0 || size.gpu_memory.0 > 0 {
            self.gpus * gpus + self.gpu_memory * gpu_memory
        } else {
            self.gpu_count_reservation * idle.gpus.0.max(0) as f64
                + self.gpu_memory_reservation * gigabytes(idle.gpu_memory)
        };
        Points(self.cores * cores + self.memory * memory + of_gpus)
    }
}

/// How many parts are left of the whole when `frames` are taken.
fn left_over(whole: i64, part: i64, frames: i64) -> f64 {
    if part > 0 { (whole as f64 - frames as f64 * part as f64) / part as f64 } else { 0.0 }
}

fn gigabytes(memory: Kb) -> f64 {
    memory.0.max(0) as f64 * 1024.0 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::amount::{Centicores, Gpus};
    use crate::test_farm::weights;

    /// Cores, gigabytes of memory, GPUs, gigabytes of their memory; 10⁹ bytes.
    fn amounts((cores, gb, gpus, gpu_gb): (i64, i64, i64, i64)) -> Resources {
        let kb = |gb: i64| Kb(gb * 1_000_000_000 / 1024);
        Resources { cores: Centicores::cores(cores), memory: kb(gb), gpus: Gpus(gpus), gpu_memory: kb(gpu_gb) }
    }

    const NO_END: i64 = i64::MAX;

    #[test]
    #[rustfmt::skip]
    fn the_published_examples_have_their_published_scores() {
        let cpu = (4, 8, 0, 0);
        let gpu = (4, 16, 1, 8);
        for (host, idle, frame, frames, wanted) in [
            ("A", (32, 96, 0, 0), cpu, NO_END, 4.0),
            ("B", (24, 48, 0, 0), cpu, NO_END, 0.0),
            ("C", (16, 36, 0, 0), cpu, NO_END, 0.5),
            ("D", (24, 48, 2, 48), cpu, NO_END, 100.0),
            ("A, three frames allowed", (32, 96, 0, 0), cpu, 3, 14.0),
            ("B, three frames allowed", (24, 48, 0, 0), cpu, 3, 6.0),
            ("C, three frames allowed", (16, 36, 0, 0), cpu, 3, 2.5),
            ("D, three frames allowed", (24, 48, 2, 48), cpu, 3, 106.0),
            ("E", (16, 64, 2, 48), gpu, NO_END, 8.0),
            ("F", (16, 64, 2, 16), gpu, NO_END, 4.0),
            ("H", (8, 32, 2, 16), gpu, NO_END, 0.0),
        ] {
            let Points(points) = weights().points(&amounts(idle), &amounts(frame), frames);
            assert!((points - wanted).abs() < 1e-5, "{host}: {points}");
        }
    }

    #[test]
    fn each_weight_weighs_its_own_resource() {
        let none = Weights {
            cores: 0.0,
            memory: 0.0,
            gpus: 0.0,
            gpu_memory: 0.0,
            gpu_count_reservation: 0.0,
            gpu_memory_reservation: 0.0,
        };
        let idle = amounts((10, 60, 3, 50));
        // One frame fits by its cores: left over are 2/8 cores, 5 pieces of memory, 2 GPUs, 4 pieces of their memory.
        let (gpu, cpu) = (amounts((8, 10, 1, 10)), amounts((8, 10, 0, 0)));
        for (weights, with_gpus, without) in [
            (Weights { cores: 1.0, ..none.clone() }, 0.25, 0.25),
            (Weights { memory: 1.0, ..none.clone() }, 5.0, 5.0),
            (Weights { gpus: 1.0, ..none.clone() }, 2.0, 0.0),
            (Weights { gpu_memory: 1.0, ..none.clone() }, 4.0, 0.0),
            (Weights { gpu_count_reservation: 1.0, ..none.clone() }, 0.0, 3.0),
            (Weights { gpu_memory_reservation: 1.0, ..none.clone() }, 0.0, 50.0),
        ] {
            for (size, wanted) in [(&gpu, with_gpus), (&cpu, without)] {
                let Points(points) = weights.points(&idle, size, NO_END);
                assert!((points - wanted).abs() < 1e-5, "{weights:?}: {points}");
            }
        }
    }

    #[test]
    fn a_layer_that_asks_only_for_memory_of_gpus_pays_nothing_for_having_them() {
        let only_memory = amounts((4, 8, 0, 24));
        let Points(points) = weights().points(&amounts((4, 8, 2, 24)), &only_memory, NO_END);
        assert!(points.abs() < 1e-5, "{points}");
    }

    #[test]
    fn absurd_amounts_and_weights_have_an_order() {
        let all = Resources {
            cores: Centicores(i64::MAX),
            memory: Kb(i64::MAX),
            gpus: Gpus(i64::MIN),
            gpu_memory: Kb(i64::MIN),
        };
        let weights = Weights { cores: f64::NAN, memory: f64::INFINITY, ..weights() };
        let one = amounts((1, 1, 0, 0));
        assert_eq!(weights.points(&all, &one, 1), weights.points(&all, &one, 1));
    }
}
