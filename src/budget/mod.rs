//! The memory that requests may take: one account for the whole service, from which every large piece is taken before it is allocated.
//!
//! What a client can make large is taken from the [`Budget`] as a [`Permit`], which is given back when it is dropped: with the request's
//! body, with the encoding of its text, with the job, with the answer when it has been sent. Nobody waits for memory. What does not fit
//! now is refused, and what can never fit is refused for good. Taking and giving back are additions to atomic numbers.
//!
//! It counts bytes and knows nothing of what they are for, apart from the names in [`Purpose`].

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The account of the memory that all requests take together.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    /// Bytes of what is set aside.
    aside: AtomicUsize,
    /// Bytes of all permits.
    taken: AtomicUsize,
    /// The highest that `taken` has been.
    peak: AtomicUsize,
    /// Bytes of all permits, by [`Purpose`].
    by_purpose: [AtomicUsize; Purpose::ALL.len()],
}

/// How much a budget may give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Most bytes of all permits, and of what is set aside for other things than requests.
    pub bytes_max: usize,
    /// Most bytes of all permits at least, whatever is set aside: without it a server could answer nothing.
    pub bytes_min: usize,
    /// Most bytes of the permits for answers.
    pub answers_max: usize,
}

/// What memory is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Bodies of requests, and what they are parsed into.
    Bodies,
    /// Texts that are tokenised, lists of tokens, and what is computed of each token.
    Tokens,
    /// Jobs that wait or run: the states of their rows, and what they are about to send.
    Jobs,
    /// Work beside the engines.
    Scratch,
    /// Answers that are being computed or sent.
    Answers,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 5] = [Self::Bodies, Self::Tokens, Self::Jobs, Self::Scratch, Self::Answers];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::Tokens => "tokens",
            Self::Jobs => "jobs",
            Self::Scratch => "scratch",
            Self::Answers => "answers",
        }
    }
}

/// Who takes memory: one request. Clones are the same request, and its permits add up.
#[derive(Clone, Debug, Default)]
pub struct Holder(Arc<AtomicUsize>);

impl Holder {
    fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why memory was not given. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// One request needs more than there is for all.
    Never {
        /// What it needs, with what it has.
        needed: usize,
        /// What there is.
        max: usize,
    },
    /// Others have taken too much of it.
    Now {
        /// What it needs beside what it has.
        needed: usize,
        /// What is left.
        left: usize,
    },
    /// Other answers take all that there is for answers.
    Answers,
}

impl Budget {
    /// A budget of which nothing is taken.
    pub fn new(limits: BudgetLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            aside: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            by_purpose: Default::default(),
        })
    }

    /// Takes `bytes` for `holder` until the permit is dropped.
    ///
    /// # Errors
    /// If so much is not left, or not left for this purpose.
    pub fn take(
        self: &Arc<Self>,
        holder: &Holder,
        purpose: Purpose,
        bytes: usize,
    ) -> Result<Permit, Exceeded> {
        let mut permit = Permit { budget: self.clone(), holder: holder.clone(), purpose, bytes: 0 };
        permit.grow(bytes)?;
        Ok(permit)
    }

    /// Whether `bytes` could be taken now, for whoever has nothing and would begin to take them piece by piece.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn check(&self, bytes: usize) -> Result<(), Exceeded> {
        let max = self.bytes_max();
        let left = max.saturating_sub(self.taken());
        match bytes {
            needed if needed > max => Err(Exceeded::Never { needed, max }),
            needed if needed > left => Err(Exceeded::Now { needed, left }),
            _ => Ok(()),
        }
    }

    /// Most bytes of all permits: what is not set aside.
    pub fn bytes_max(&self) -> usize {
        self.bytes_beside(self.aside.load(Ordering::Relaxed)).max(self.limits.bytes_min)
    }

    fn bytes_beside(&self, aside: usize) -> usize {
        self.limits.bytes_max.saturating_sub(aside)
    }

    /// Sets `bytes` aside for what is no request and exists already. What was given out before is not taken back.
    pub fn set_aside(self: &Arc<Self>, bytes: usize) -> Aside {
        self.set_aside_for_good(bytes);
        Aside { budget: self.clone(), bytes }
    }

    /// The same for what lives as long as the budget.
    pub fn set_aside_for_good(&self, bytes: usize) {
        self.aside.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets `bytes` aside for what is no request and does not exist yet, if requests leave so much.
    ///
    /// # Errors
    /// The bytes that are left.
    pub fn try_set_aside(self: &Arc<Self>, bytes: usize) -> Result<Aside, usize> {
        let least = self.taken().max(self.limits.bytes_min);
        let most = self.limits.bytes_max.saturating_sub(least);
        match raise(&self.aside, bytes, most) {
            Ok(_) => Ok(Aside { budget: self.clone(), bytes }),
            Err(aside) => Err(most.saturating_sub(aside)),
        }
    }

    /// Bytes of all permits now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The highest that [`Self::taken`] has been.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Bytes of all permits for `purpose`.
    pub fn taken_for(&self, purpose: Purpose) -> usize {
        self.by_purpose[purpose as usize].load(Ordering::Relaxed)
    }

    fn purpose_max(&self, purpose: Purpose) -> usize {
        if purpose == Purpose::Answers { self.limits.answers_max } else { usize::MAX }
    }

    /// Adds to the account, if it fits.
    fn charge(&self, purpose: Purpose, bytes: usize) -> Result<(), Exceeded> {
        let own = &self.by_purpose[purpose as usize];
        if raise(own, bytes, self.purpose_max(purpose)).is_err() {
            return Err(Exceeded::Answers);
        }
        let max = self.bytes_max();
        match raise(&self.taken, bytes, max) {
            Ok(now) => {
                self.peak.fetch_max(now, Ordering::Relaxed);
                Ok(())
            }
            Err(taken) => {
                own.fetch_sub(bytes, Ordering::Relaxed);
                Err(Exceeded::Now { needed: bytes, left: max.saturating_sub(taken) })
            }
        }
    }
}

/// Adds `bytes` to `sum` and returns it, unless it were more than `max`; then returns it unchanged as the error.
fn raise(sum: &AtomicUsize, bytes: usize, max: usize) -> Result<usize, usize> {
    let raised = |sum: usize| sum.checked_add(bytes).filter(|&sum| sum <= max);
    sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).map(|before| before + bytes)
}

/// Memory that is for other things than requests, until this is dropped.
#[derive(Debug)]
pub struct Aside {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Aside {
    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let left = self.bytes.saturating_sub(bytes);
        self.bytes -= left;
        self.budget.aside.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Memory that was taken from a budget, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    holder: Holder,
    purpose: Purpose,
    bytes: usize,
}

impl Permit {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// As [`Budget::take`]; the permit stays as it was.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let needed = self.holder.taken().saturating_add(bytes);
        let max = self.budget.bytes_max();
        if needed > max {
            return Err(Exceeded::Never { needed, max });
        }
        self.budget.charge(self.purpose, bytes)?;
        self.holder.0.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back `bytes`, or all if there are fewer.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.by_purpose[self.purpose as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.holder.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.shrink(self.bytes.saturating_sub(bytes));
    }

    /// What it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
