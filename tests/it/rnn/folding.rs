//! Keeping the first layer's input product changes no bit, whatever is kept and whatever is not.

use proptest::prelude::*;
use rnnlm_server::lm::{LoadOptions, Logits, Model, TokenId};

use crate::harness::network::{shapes, weights_types};
use crate::harness::rows::{Ask, kernels, run};

fn asks<'a>(model: &dyn Model, tokens: &'a [Vec<TokenId>]) -> Vec<Ask<'a>> {
    tokens.iter().map(|tokens| Ask::fresh(model, tokens, Logits::Each)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn folded_networks_give_the_same_bits(
        (shape, weights) in (shapes(), weights_types()), count in 1usize..12, kept in 0usize..12
    ) {
        let columns = shape.architecture.cell.gates() * shape.architecture.hidden_sizes[0];
        let tokens: Vec<_> = (0..count).map(|row| shape.tokens(row as u64, 1 + row % 4)).collect();
        for kernel in kernels() {
            let plain = LoadOptions { kernel, weights: Some(weights), fold_bytes_max: 0 };
            let plain = shape.build(plain);
            let expected = run(&plain, asks(&plain, &tokens));
            // Room for some tokens, or for all of them.
            for fold_bytes_max in [kept * columns * size_of::<f32>(), usize::MAX] {
                let folded = shape.build(LoadOptions { kernel, weights: Some(weights), fold_bytes_max });
                let first = run(&folded, asks(&folded, &tokens));
                prop_assert_eq!(&first, &expected, "computed, {}", kernel.name());
                let second = run(&folded, asks(&folded, &tokens));
                prop_assert_eq!(&second, &expected, "kept, {}", kernel.name());
            }
        }
    }
}
