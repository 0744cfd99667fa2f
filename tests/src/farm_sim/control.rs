//! A farm told what to do by lines of text: how the program is driven from outside.
//!
//! One line is one order, and one line of JSON answers it.

use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use cue_scheduler_proto::host::HardwareState;
use serde_json::{Value, json};

use super::{FarmSim, Fault, Hosts};

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `fault HOSTS FAULT`: makes hosts behave so.
    Fault(Hosts, Fault),
    /// `nimby HOSTS on|off`: sits somebody down at the hosts.
    Nimby(Hosts, bool),
    /// `hardware HOSTS UP|DOWN|REPAIR|…`: sets the state of the hardware.
    Hardware(Hosts, HardwareState),
    /// `status`: what happened so far.
    Status,
    /// `running`: what runs.
    Running,
    /// `record`: everything that ran.
    Record,
    /// `stop`: ends the farm.
    Stop,
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let (verb, rest) = split(line);
        let hosts_and = || {
            let (hosts, rest) = split(rest);
            ensure!(
                !hosts.is_empty() && !rest.is_empty(),
                "`{verb}` needs hosts and what to set, for instance `{verb} all …`"
            );
            Ok((hosts.parse::<Hosts>()?, rest))
        };
        let alone = |order| {
            ensure!(rest.is_empty(), "`{verb}` stands alone, `{rest}` is too much");
            Ok(order)
        };
        match verb {
            "fault" => {
                let (hosts, fault) = hosts_and()?;
                Ok(Self::Fault(hosts, fault.parse()?))
            }
            "nimby" => match hosts_and()? {
                (hosts, "on") => Ok(Self::Nimby(hosts, true)),
                (hosts, "off") => Ok(Self::Nimby(hosts, false)),
                (_, other) => bail!("`{other}`: nimby is on or off"),
            },
            "hardware" => {
                let (hosts, state) = hosts_and()?;
                let state = HardwareState::from_str_name(&state.to_ascii_uppercase())
                    .with_context(|| format!("`{state}` is no hardware state such as UP, DOWN or REPAIR"))?;
                Ok(Self::Hardware(hosts, state))
            }
            "status" => alone(Self::Status),
            "running" => alone(Self::Running),
            "record" => alone(Self::Record),
            "stop" => alone(Self::Stop),
            other => bail!("`{other}` is no order: there are fault, nimby, hardware, status, running, record, stop"),
        }
    }
}

/// The first word, and what follows.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

/// Does what a line says and gives the answer: `{"ok": true, …}`, or `{"ok": false, "error": …}`. Stopping is the caller's.
pub async fn obey(sim: &FarmSim, order: anyhow::Result<Order>) -> Value {
    let answer = match order {
        Ok(order) => carry_out(sim, order).await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| json!({"ok": false, "error": format!("{error:#}")}))
}

async fn carry_out(sim: &FarmSim, order: Order) -> anyhow::Result<Value> {
    let hosts = match order {
        Order::Fault(hosts, fault) => sim.set_fault(hosts, fault).await?,
        Order::Nimby(hosts, locked) => sim.set_nimby(hosts, locked),
        Order::Hardware(hosts, state) => sim.set_hardware(hosts, state),
        Order::Status => return Ok(json!({"ok": true, "summary": sim.summary()})),
        Order::Running => return Ok(json!({"ok": true, "runs": sim.running()})),
        Order::Record => return Ok(json!({"ok": true, "runs": sim.record()})),
        Order::Stop => return Ok(json!({"ok": true})),
    };
    ensure!(hosts > 0, "no host of this farm is meant");
    Ok(json!({"ok": true, "hosts": hosts}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn orders_are_read_from_lines() {
        let one = Hosts::from(Ipv4Addr::new(127, 1, 0, 1));
        let cases = [
            ("fault 127.1.0.1 dead", Order::Fault(one, Fault::Dead)),
            ("  fault all   silent ", Order::Fault(Hosts::All, Fault::Silent)),
            ("nimby 127.1.0.1 on", Order::Nimby(one, true)),
            ("hardware all repair", Order::Hardware(Hosts::All, HardwareState::Repair)),
            ("status", Order::Status),
            ("running", Order::Running),
            ("record", Order::Record),
            ("stop", Order::Stop),
        ];
        for (line, order) in cases {
            assert_eq!(line.parse::<Order>().unwrap(), order, "{line}");
        }
        for line in
            ["", "dance", "fault", "fault all", "fault nobody dead", "nimby all maybe", "hardware all fine", "stop now"]
        {
            assert!(line.parse::<Order>().is_err(), "{line}");
        }
    }
}
