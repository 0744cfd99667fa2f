//! What it does to the world.

use super::*;

impl World {
    pub(super) fn happen(&mut self, what: Move) -> Result<(), Breach> {
        match what {
            Move::Wait(ms) => {
                self.now += ms;
                let now = self.now;
                self.wire.retain(|(_, sent)| now <= sent + DELIVERY);
            }
            Move::Book { replica, host } => {
                let proc = self.procs.len();
                self.procs.push(Proc {
                    host,
                    booked: self.now,
                    reported: false,
                    sent: 0,
                });
                self.frame = Frame::Running(proc);
                let state = State::committed(self.now());
                self.replicas[replica].cares.push(Care {
                    proc,
                    state,
                    todo: Todo::Turn,
                });
            }
            Move::Care { replica, care, act } => return self.act(replica, care, act),
            Move::TakeOver { replica, proc } => {
                let (state, action) = State::taken_over(self.now());
                let todo = todo(action, self.now);
                self.seen.taken_over += 1;
                self.replicas[replica]
                    .cares
                    .push(Care { proc, state, todo });
            }
            Move::StopReplica(replica) => self.replicas[replica].stopped = true,
            Move::WakeReplica(replica) => self.replicas[replica].stopped = false,
            Move::KillReplica(replica) => self.replicas[replica].cares.clear(),
            Move::Deliver { request } => {
                let (proc, _) = self.wire.remove(request);
                self.agents[self.procs[proc].host]
                    .inbox
                    .push((proc, self.now));
            }
            Move::Lose { request } => {
                self.wire.remove(request);
            }
            Move::Work {
                host,
                message,
                refuse,
            } => {
                let (proc, _) = self.agents[host].inbox.remove(message);
                return self.work(host, proc, refuse);
            }
            Move::StopAgent(host) => self.agents[host].stopped = true,
            Move::WakeAgent(host) => self.agents[host].stopped = false,
            Move::RestartAgent(host) => self.agents[host] = Agent::default(),
            Move::Report(host) => {
                for run in &self.agents[host].runs {
                    self.procs[*run].reported = true;
                }
            }
            Move::EndRun { host, run } => {
                let proc = self.agents[host].runs.remove(run);
                self.completions.push(proc);
            }
            Move::Complete {
                completion,
                succeeds,
                again,
            } => self.complete(completion, succeeds, again),
            Move::LoseCompletion { completion } => {
                self.completions.remove(completion);
            }
            Move::Sweep => return self.sweep(),
        }
        Ok(())
    }

    fn act(&mut self, replica: usize, care: usize, act: Act) -> Result<(), Breach> {
        let Care { proc, todo, .. } = self.replicas[replica].cares[care];
        let held = self.frame == Frame::Running(proc);
        let event = match (act, todo) {
            (Act::Turn, _) => Event::Due,
            (Act::GiveUp, _) => Event::NotSent,
            (Act::Answer, Todo::Call(_, Some(answer))) => answer,
            (Act::NoAnswer, _) => Event::NoAnswer,
            (Act::Ask, _) => {
                self.replicas[replica].cares[care].todo = Todo::Question(self.now, None);
                return Ok(());
            }
            (Act::Reply, Todo::Question(asked, _)) => {
                let host = self.procs[proc].host;
                self.work_through(host, asked)?;
                let listed = self.agents[host].runs.contains(&proc);
                self.replicas[replica].cares[care].todo = Todo::Question(asked, Some(listed));
                return Ok(());
            }
            (Act::HearReply, Todo::Question(_, Some(true))) => Event::Listed,
            (Act::HearReply, Todo::Question(asked, Some(false))) => Event::NotListed {
                asked_at: BootInstant(Duration::from_millis(asked)),
            },
            (Act::Silence, _) => Event::Silent,
            (Act::CheckHeld, _) if held => Event::Held,
            (Act::Undo, _) if held => {
                self.frame = Frame::Waiting;
                Event::Undone
            }
            (Act::CheckHeld | Act::Undo, _) => Event::NotHeld,
            (Act::DatabaseFails, _) => Event::DatabaseFailed,
            (Act::Answer | Act::Reply | Act::HearReply, _) => return Ok(()),
        };
        self.event(replica, care, event)
    }

    fn complete(&mut self, completion: usize, succeeds: bool, again: bool) {
        let proc = self.completions[completion];
        if !again {
            self.completions.remove(completion);
        }
        if self.frame == Frame::Running(proc) {
            self.frame = if succeeds {
                Frame::Done
            } else {
                Frame::Waiting
            };
            self.accepted.insert(proc);
            self.seen.completed += 1;
        }
    }

    fn sweep(&mut self) -> Result<(), Breach> {
        if let Frame::Running(proc) = self.frame {
            let host = self.procs[proc].host;
            self.work_through(host, self.now)?;
            self.agents[host].runs.retain(|run| *run != proc);
            self.frame = Frame::Waiting;
            self.seen.swept += 1;
        }
        Ok(())
    }

    /// The real code decides.
    fn event(&mut self, replica: usize, care: usize, event: Event) -> Result<(), Breach> {
        let now = self.now();
        let Care {
            proc,
            state,
            todo: next,
        } = &mut self.replicas[replica].cares[care];
        let proc = *proc;
        let before = *state;
        let (after, action) = step(before, event, now, &self.timing);
        *state = after;
        *next = todo(action, self.now);
        if after.is_final() {
            *next = Todo::Over;
        }
        match after {
            State::Confirmed => self.seen.confirmed += 1,
            State::Settled(Settlement::Undone) => self.seen.undone += 1,
            State::Settled(Settlement::Adopted) => self.seen.adopted += 1,
            State::Settled(Settlement::Left(Left::Silent)) => self.seen.left_silent += 1,
            State::Settled(Settlement::Left(Left::NotHeld)) => self.seen.left_not_held += 1,
            State::Unknown(_) if event == Event::Due => self.seen.fenced += 1,
            _ => {}
        }
        if action == Action::Send {
            self.procs[proc].sent += 1;
            if self.procs[proc].sent > 1 {
                return Err(Breach::SentTwice { proc });
            }
            self.wire.push((proc, self.now));
        }
        Ok(())
    }

    /// The agent works on a request.
    fn work(&mut self, host: usize, proc: usize, refuse: bool) -> Result<(), Breach> {
        let refuse = refuse || !self.agents[host].runs.is_empty();
        let answer = if refuse {
            Event::Refused
        } else {
            Event::Accepted
        };
        for care in self
            .replicas
            .iter_mut()
            .flat_map(|replica| &mut replica.cares)
        {
            if care.proc == proc
                && let Todo::Call(_, heard) = &mut care.todo
            {
                *heard = Some(answer);
            }
        }
        if refuse {
            return Ok(());
        }
        if let Some(beside) = self.agents.iter().find_map(|agent| agent.runs.first()) {
            return Err(Breach::Overlap {
                started: proc,
                beside: *beside,
            });
        }
        if self.frame == Frame::Done || self.accepted.contains(&proc) {
            return Err(Breach::AfterCompletion { started: proc });
        }
        self.agents[host].runs.push(proc);
        self.seen.starts += 1;
        Ok(())
    }

    /// The agent works on what had arrived well before a time.
    fn work_through(&mut self, host: usize, before: u64) -> Result<(), Breach> {
        while let Some(at) = self.agents[host]
            .inbox
            .iter()
            .position(|(_, arrived)| arrived + ORDER <= before)
        {
            let (proc, _) = self.agents[host].inbox.remove(at);
            self.work(host, proc, false)?;
        }
        Ok(())
    }
}

pub(super) fn todo(action: Action, now: u64) -> Todo {
    let ms = |at: BootInstant| at.0.as_millis() as u64;
    match action {
        Action::Send => Todo::Call(now, None),
        Action::Ask(at) => Todo::AskFrom(ms(at)),
        Action::CheckHeld => Todo::CheckHeld,
        Action::Undo(at) => Todo::UndoFrom(ms(at)),
        Action::Nothing => Todo::Over,
    }
}
