mod properties;
mod tables;

use super::*;
use crate::domain::request::ThreadMode::{All, Auto, Variable};
use crate::test_farm::{Farm, GIB, amounts, policy};

/// A host of a table: mode, total cores, total GiB, idle cores, idle GiB.
struct On(ThreadMode, i64, i64, i64, i64);

impl On {
    fn state(&self) -> HostState {
        let On(mode, cores, gib, idle_cores, idle_gib) = *self;
        HostState { mode, total: amounts(cores, gib), idle: amounts(idle_cores, idle_gib) }
    }
}

const A: On = On(Auto, 32, 128, 32, 128);
const B: On = On(Auto, 32, 128, 16, 64);
const C: On = On(Auto, 32, 64, 4, 40);
const D: On = On(Variable, 8, 32, 6, 24);
const E: On = On(All, 32, 128, 6, 24);
const E_IDLE: On = On(All, 32, 128, 32, 128);

/// A layer of a table: minimum in centicores, memory in hundredths of a GiB.
fn threadable(min: i64, centi_gib: i64) -> Layer {
    let mut farm = Farm::new();
    let job = farm.job("job", 50);
    let mut layer = farm.layer(job, "layer", 1, 0, 1).clone();
    layer.cores = CoreRequest::from_column(min);
    layer.memory = Kb(centi_gib * GIB / 100);
    layer
}

fn max(mut layer: Layer, max: i64) -> Layer {
    layer.cores_max = Some(Centicores(max));
    layer
}

fn single(mut layer: Layer) -> Layer {
    layer.threadable = false;
    layer
}

fn selfish(mut layer: Layer) -> Layer {
    layer.services = vec!["shell".into(), "selfish".into()];
    layer
}

fn ours(layer: &Layer, host: &On, room: i64) -> Option<i64> {
    Ask::of(layer, &policy()).size_on(&host.state(), room).map(|size| {
        assert_eq!(size.cores.0 % 100, 0);
        assert_eq!(size.memory, layer.memory);
        size.cores.whole_cores()
    })
}
