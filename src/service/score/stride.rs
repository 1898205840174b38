//! How many tokens of a long text one job reads: few enough to end long before the job's deadline, however slow the model is. So
//! the deadline ends a text that makes no progress, and not one that is long.

use std::time::Duration;

/// The number of tokens that the next job reads. It follows the time that the jobs before have taken.
#[derive(Debug)]
pub(super) struct Stride {
    tokens: usize,
    deadline: Duration,
}

impl Stride {
    /// The first job may take this many tokens of the slowest model, which reads one in a second.
    const TOKENS_FIRST: usize = 32;

    /// More tokens in one job do not make them cheaper.
    const TOKENS_MAX: usize = 16 << 10;

    /// The stride of jobs that are to end within `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { tokens: Self::TOKENS_FIRST, deadline }
    }

    /// The number of tokens that the next job reads, at most.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// A job of as many tokens took so long.
    pub(super) fn took(&mut self, elapsed: Duration) {
        if elapsed > self.deadline / 8 {
            self.tokens = (self.tokens / 2).max(1);
        } else if elapsed < self.deadline / 32 {
            self.tokens = (self.tokens * 2).min(Self::TOKENS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strides over jobs whose tokens take `token_time` each.
    fn strides(token_time: Duration) -> Vec<usize> {
        let mut stride = Stride::new(Duration::from_secs(60));
        let each = std::iter::repeat_with(|| {
            let tokens = stride.tokens();
            stride.took(token_time * tokens as u32);
            tokens
        });
        each.take(12).collect()
    }

    #[test]
    fn jobs_grow_with_a_fast_model_and_shrink_with_a_slow_one() {
        assert_eq!(strides(Duration::ZERO)[9..], [16384; 3]);
        assert_eq!(
            strides(Duration::from_millis(10))[..5],
            [32, 64, 128, 256, 256],
            "2.56 s are enough of 60 s"
        );
        assert_eq!(strides(Duration::from_secs(1))[..5], [32, 16, 8, 4, 4], "4 s are not too much");
        assert_eq!(*strides(Duration::from_secs(50)).last().unwrap(), 1);
    }
}
