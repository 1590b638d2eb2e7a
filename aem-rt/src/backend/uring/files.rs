//! Ops on files: each is an entry, or a few if the kernel does it by pieces.
//!
//! What would block its worker a kernel that is asked in this way does in a thread of its own, if it must; no
//! thread of ours is in it. A cancel takes what has not begun.

use std::io;

use io_uring::opcode;

use super::{UringKeeper, entry, failure};
use crate::backend::file::{FileAnswer, FileOp, Naming};
use crate::backend::ledger::Token;
use crate::backend::op::{Answer, Completion, Op};
use crate::sys::file::no_status;
use crate::sys::ring::Ring;

/// What must be there; else all ops on files come back. All of it is of Linux 5.6 or older.
pub(super) const OPCODES: &[u8] = &[
    opcode::OpenAt::CODE,
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::Statx::CODE,
    opcode::Fsync::CODE,
    opcode::Close::CODE,
];

/// What is done to names is asked of the kernel where it has the opcode; all are of Linux 5.15 or older.
const NAMING_OPCODES: [u8; 5] = [
    opcode::MkDirAt::CODE,
    opcode::RenameAt::CODE,
    opcode::UnlinkAt::CODE,
    opcode::LinkAt::CODE,
    opcode::SymlinkAt::CODE,
];

fn naming_opcode(naming: &Naming) -> u8 {
    match naming {
        Naming::MakeDirectory { .. } => opcode::MkDirAt::CODE,
        Naming::Rename { .. } => opcode::RenameAt::CODE,
        Naming::Remove { .. } => opcode::UnlinkAt::CODE,
        Naming::Link { .. } => opcode::LinkAt::CODE,
        Naming::Symlink { .. } => opcode::SymlinkAt::CODE,
    }
}

/// What of names this kernel does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namings([bool; NAMING_OPCODES.len()]);

impl Namings {
    pub(super) fn of(ring: &Ring) -> Namings {
        Namings(ring.known(NAMING_OPCODES).unwrap_or_default())
    }

    fn have(&self, naming: &Naming) -> bool {
        let code = naming_opcode(naming);
        NAMING_OPCODES.into_iter().zip(self.0).any(|known| known == (code, true))
    }
}

impl UringKeeper {
    pub(in crate::backend) fn submit_file(&mut self, op: FileOp) -> Result<Token, FileOp> {
        let is_asked = match &op {
            FileOp::Name(naming) => self.forms.files && self.forms.namings.have(naming),
            _ => self.forms.files,
        };
        if !is_asked {
            return Err(op);
        }
        Ok(self.make_due(Op::File(Box::new(op))))
    }

    /// What the completion of an entry on a file means.
    pub(super) fn filed(&mut self, token: Token, result: i32) -> Option<Completion> {
        let Some(Op::File(op)) = self.ledger.get_mut(token).map(|flight| &mut flight.op) else {
            unreachable!("only an op on a file gets here")
        };
        if let Some(error) = failure(result) {
            return self.not_filed(token, error);
        }
        let n = result as usize;
        let answer = match &mut **op {
            FileOp::Open { .. } => FileAnswer::Opened(entry::new_descriptor(result)),
            FileOp::Read { buffer, .. } => {
                entry::extend(buffer, n);
                return self.filed_by(token, n);
            }
            FileOp::Write { .. } => return self.filed_by(token, n),
            FileOp::Status { status, .. } => {
                FileAnswer::Status(std::mem::replace(status, no_status()))
            }
            FileOp::Sync { .. } | FileOp::Name(_) => FileAnswer::Done,
            FileOp::Close { fd } => {
                // Its number is nobody's now.
                fd.take().into_iter().for_each(std::mem::forget);
                FileAnswer::Done
            }
        };
        Some(self.finish(token, Answer::File(answer)))
    }

    /// So many bytes were read or written.
    fn filed_by(&mut self, token: Token, n: usize) -> Option<Completion> {
        let flight = self.ledger.get_mut(token)?;
        flight.fruitless = 0;
        let Op::File(op) = &mut flight.op else { return None };
        match op.advance(n) {
            Some(Ok(answer)) => Some(self.finish(token, Answer::File(answer))),
            Some(Err(error)) => Some(self.finish(token, Answer::Failed(error))),
            None => self.again(token),
        }
    }

    /// The entry failed, and the op with it, unless the error only says that the entry had to end.
    #[cold]
    fn not_filed(&mut self, token: Token, error: io::Error) -> Option<Completion> {
        let begun = !matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EAGAIN));
        if let Some(Op::File(op)) = self.ledger.get_mut(token).map(|flight| &mut flight.op)
            && let FileOp::Close { fd } = &mut **op
            && begun
        {
            // close(2): the number is free whatever the error.
            fd.take().into_iter().for_each(std::mem::forget);
            return Some(self.finish_failed(token, error));
        }
        self.again_unless(token, error)
    }
}
