//! Whatever is taken and given back in whatever order, the account is the sum of the permits and never above its bounds.

use proptest::prelude::*;

use super::*;

const LIMITS: BudgetLimits = BudgetLimits { bytes_max: 1000, bytes_min: 100, answers_max: 300 };

#[derive(Clone, Debug)]
enum Step {
    Take(usize, usize),
    Grow(usize, usize),
    Shrink(usize, usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop_oneof![0..400_usize, Just(1001), Just(usize::MAX)];
    prop_oneof![
        (0..Purpose::ALL.len(), bytes()).prop_map(|(purpose, bytes)| Step::Take(purpose, bytes)),
        (0..8_usize, bytes()).prop_map(|(which, bytes)| Step::Grow(which, bytes)),
        (0..8_usize, bytes()).prop_map(|(which, bytes)| Step::Shrink(which, bytes)),
        (0..8_usize).prop_map(Step::Drop),
    ]
}

proptest! {
    #[test]
    fn the_account_is_the_sum_of_the_permits_and_within_its_bounds(steps in prop::collection::vec(step(), 0..60)) {
        let budget = Budget::new(LIMITS);
        let mut permits: Vec<Permit> = Vec::new();
        let mut highest = 0;
        for step in steps {
            let count = permits.len().max(1);
            match step {
                Step::Take(purpose, bytes) => permits.extend(take(&budget, Purpose::ALL[purpose], bytes)),
                Step::Grow(which, bytes) => {
                    if let Some(permit) = permits.get_mut(which % count) {
                        let before = permit.bytes();
                        let grown = permit.grow(bytes);
                        prop_assert_eq!(permit.bytes(), if grown.is_ok() { before + bytes } else { before });
                    }
                }
                Step::Shrink(which, bytes) => {
                    if let Some(permit) = permits.get_mut(which % count) {
                        let before = permit.bytes();
                        permit.shrink(bytes);
                        prop_assert_eq!(permit.bytes(), before.saturating_sub(bytes));
                    }
                }
                Step::Drop(which) if which < permits.len() => drop(permits.swap_remove(which)),
                Step::Drop(_) => {}
            }
            let sum: usize = permits.iter().map(Permit::bytes).sum();
            highest = highest.max(sum);
            prop_assert_eq!(budget.taken(), sum);
            prop_assert!(sum <= LIMITS.bytes_max);
            prop_assert!(budget.taken_for(Purpose::Answers) <= LIMITS.answers_max);
            prop_assert_eq!(Purpose::ALL.iter().map(|&purpose| budget.taken_for(purpose)).sum::<usize>(), sum);
            prop_assert_eq!(budget.peak(), highest);
        }
        drop(permits);
        prop_assert_eq!(budget.taken(), 0);
    }
}

/// For a request that has nothing else.
fn take(budget: &Arc<Budget>, purpose: Purpose, bytes: usize) -> Result<Permit, Exceeded> {
    budget.take(&Holder::default(), purpose, bytes)
}

fn never_of(needed: usize) -> Exceeded {
    Exceeded::Never { needed, max: LIMITS.bytes_max }
}

#[test]
fn what_can_never_fit_is_told_from_what_does_not_fit_now() {
    let budget = Budget::new(LIMITS);
    let never = take(&budget, Purpose::Bodies, 1001).unwrap_err();
    assert_eq!(never, never_of(1001));
    let held = take(&budget, Purpose::Bodies, 900).unwrap();
    let now = take(&budget, Purpose::Tokens, 200).unwrap_err();
    assert_eq!(now, Exceeded::Now { needed: 200, left: 100 });
    assert_eq!(take(&budget, Purpose::Answers, 301).unwrap_err(), Exceeded::Answers);
    assert_eq!(
        (budget.check(1001), budget.check(200), budget.check(100)),
        (Err(never_of(1001)), Err(now), Ok(()))
    );
    drop(held);
    assert!(take(&budget, Purpose::Tokens, 200).is_ok());
}

#[test]
fn a_permit_that_grows_past_all_there_is_can_never_fit() {
    let budget = Budget::new(LIMITS);
    let mut permit = take(&budget, Purpose::Bodies, 600).unwrap();
    assert_eq!(permit.grow(600), Err(Exceeded::Never { needed: 1200, max: 1000 }));
    assert_eq!((permit.bytes(), budget.taken()), (600, 600));
}

#[test]
fn a_request_whose_parts_are_together_more_than_all_there_is_can_never_fit() {
    let budget = Budget::new(LIMITS);
    let (request, other) = (Holder::default(), Holder::default());
    let body = budget.take(&request, Purpose::Bodies, 300).unwrap();
    let mut tokens = budget.take(&request, Purpose::Tokens, 600).unwrap();
    assert_eq!(tokens.grow(200), Err(never_of(1100)));
    assert_eq!(budget.take(&request, Purpose::Jobs, 101).unwrap_err(), never_of(1001));
    // For another request there may be room later, and for this one if it gives some back.
    assert_eq!(
        budget.take(&other, Purpose::Jobs, 101).unwrap_err(),
        Exceeded::Now { needed: 101, left: 100 }
    );
    drop(body);
    let others = budget.take(&other, Purpose::Jobs, 300).unwrap();
    assert_eq!(tokens.grow(200), Err(Exceeded::Now { needed: 200, left: 100 }));
    drop(others);
    tokens.grow(200).unwrap();
}

#[test]
fn many_threads_keep_one_account() {
    let budget = Budget::new(LIMITS);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let budget = &budget;
            scope.spawn(move || {
                for round in 0..2000 {
                    let purpose = Purpose::ALL[(thread + round) % Purpose::ALL.len()];
                    let Ok(mut permit) = take(budget, purpose, 150) else { continue };
                    let _ = permit.grow(100);
                    assert!(budget.taken() <= LIMITS.bytes_max);
                }
            });
        }
    });
    assert_eq!(budget.taken(), 0);
    assert!(budget.peak() <= LIMITS.bytes_max);
}

#[test]
fn what_is_set_aside_is_not_given_out_until_it_is_dropped() {
    let budget = Budget::new(LIMITS);
    let first = budget.set_aside(600);
    assert_eq!(budget.bytes_max(), 400);
    let permit = take(&budget, Purpose::Jobs, 250).unwrap();
    assert_eq!(take(&budget, Purpose::Jobs, 151).unwrap_err(), Exceeded::Now { needed: 151, left: 150 });
    assert_eq!(budget.try_set_aside(151).unwrap_err(), 150, "what requests have taken is not set aside");
    let mut second = budget.try_set_aside(150).unwrap();
    assert_eq!(budget.bytes_max(), 250);
    drop(permit);
    assert_eq!(budget.try_set_aside(151).unwrap_err(), 150, "requests keep the least that they get");
    // What exists already is set aside whether there is room for it or not, and so is given back.
    let third = budget.set_aside(10_000);
    assert_eq!(budget.bytes_max(), LIMITS.bytes_min);
    drop(third);
    assert_eq!(budget.bytes_max(), 250);
    second.shrink_to(200);
    second.shrink_to(50);
    assert_eq!(budget.bytes_max(), 350);
    drop((first, second));
    assert_eq!(budget.bytes_max(), LIMITS.bytes_max);
}
