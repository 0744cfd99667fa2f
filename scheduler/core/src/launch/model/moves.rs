//! What can happen in a world now.

use super::*;

impl World {
    /// Everything that can happen now. What should happen often is there more than once.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves: Vec<Move> = [10, 10, 1000, 2000, 2000, 6000, 21_000, 301_000]
            .map(Move::Wait)
            .into();
        for replica in 0..REPLICAS {
            self.replica_moves(replica, &mut moves);
        }
        for host in 0..HOSTS {
            let agent = &self.agents[host];
            if agent.stopped {
                moves.push(Move::WakeAgent(host));
                continue;
            }
            moves.push(Move::StopAgent(host));
            if !agent.runs.is_empty() || !agent.inbox.is_empty() {
                moves.extend([Move::RestartAgent(host), Move::Report(host)]);
            }
            for message in 0..agent.inbox.len() {
                let work = |refuse| Move::Work {
                    host,
                    message,
                    refuse,
                };
                moves.extend([work(false), work(false), work(true)]);
            }
            moves.extend((0..agent.runs.len()).map(|run| Move::EndRun { host, run }));
        }
        for request in 0..self.wire.len() {
            moves.extend([
                Move::Deliver { request },
                Move::Deliver { request },
                Move::Lose { request },
            ]);
        }
        for completion in 0..self.completions.len() {
            moves.push(Move::Complete {
                completion,
                succeeds: true,
                again: false,
            });
            moves.push(Move::Complete {
                completion,
                succeeds: false,
                again: true,
            });
            moves.push(Move::LoseCompletion { completion });
        }
        if let Frame::Running(proc) = self.frame {
            let Proc { host, booked, .. } = self.procs[proc];
            let agent = &self.agents[host];
            if self.now >= booked + SWEEP && !agent.stopped && !agent.runs.contains(&proc) {
                moves.push(Move::Sweep);
            }
        }
        moves
    }

    fn replica_moves(&self, replica: usize, moves: &mut Vec<Move>) {
        if self.replicas[replica].stopped {
            moves.push(Move::WakeReplica(replica));
            return;
        }
        moves.extend([Move::StopReplica(replica), Move::KillReplica(replica)]);
        if self.frame == Frame::Waiting {
            moves.extend((0..HOSTS).map(|host| Move::Book { replica, host }));
        }
        if let Frame::Running(proc) = self.frame {
            let Proc {
                booked, reported, ..
            } = self.procs[proc];
            let age = self
                .timing
                .take_over_age(Duration::from_millis(CALL_TIMEOUT));
            let known = self.replicas[replica]
                .cares
                .iter()
                .any(|care| care.proc == proc);
            if !reported && !known && self.now >= booked + age.as_millis() as u64 {
                moves.push(Move::TakeOver { replica, proc });
            }
        }
        for (care, Care { todo, proc, .. }) in self.replicas[replica].cares.iter().enumerate() {
            let act = |act| Move::Care { replica, care, act };
            match *todo {
                Todo::Turn => {
                    moves.extend([act(Act::Turn); 3]);
                    moves.push(act(Act::GiveUp));
                }
                Todo::Call(_, answer) => {
                    moves.push(act(Act::NoAnswer));
                    moves.extend(answer.map(|_| act(Act::Answer)));
                }
                Todo::AskFrom(from) if self.now >= from => {
                    moves.extend([act(Act::Ask); 3]);
                }
                Todo::Question(_, reply) => {
                    moves.push(act(Act::Silence));
                    if reply.is_some() {
                        moves.extend([act(Act::HearReply); 2]);
                    } else if !self.agents[self.procs[*proc].host].stopped {
                        moves.extend([act(Act::Reply); 2]);
                    }
                }
                Todo::CheckHeld => {
                    moves.extend([act(Act::CheckHeld), act(Act::DatabaseFails)]);
                }
                Todo::UndoFrom(from) if self.now >= from => {
                    moves.extend([act(Act::Undo), act(Act::DatabaseFails)]);
                }
                Todo::AskFrom(_) | Todo::UndoFrom(_) | Todo::Over => {}
            }
        }
    }
}
