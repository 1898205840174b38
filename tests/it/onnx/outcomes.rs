//! The outcome of each file: it is lowered, run by tract, or refused with an error that names the part at fault.

use rnnlm_server::error::{Error, ErrorKind};
use rnnlm_server::lm::Backend;
use rnnlm_server::onnx::{Loaded, Understanding, WindowHint};

use super::fixtures::{Case, Outcome, WITHOUT_TRACT, cases, each, kernel};

#[test]
fn every_outcome_has_files_and_every_served_file_has_numbers() {
    let cases = cases();
    let files = cases.iter().filter(|case| !case.path.components().any(|part| part.as_os_str() == "hostile"));
    assert!(files.count() >= 120, "there are fewer files than the matrix needs");
    let native =
        [Outcome::Lowered, Outcome::Warned, Outcome::LoweredWindowed, Outcome::FeedForward, Outcome::Refused];
    let by_tract: &[Outcome] =
        if cfg!(feature = "tract") { &[Outcome::Tract, Outcome::Windowed] } else { &[] };
    for &outcome in native.iter().chain(by_tract) {
        assert!(cases.iter().any(|case| case.outcome == outcome), "no file is {outcome:?}");
    }
    for case in cases.iter().filter(|case| case.outcome != Outcome::Refused) {
        assert!(
            !case.sequences.is_empty(),
            "{}: the file is served, but there are no numbers to compare with",
            case.name
        );
    }
}

#[test]
fn every_file_has_the_expected_outcome() {
    each(
        |_| true,
        |case| match (case.outcome, case.load(kernel())) {
            (Outcome::Refused, Ok(_)) => Err(format!("served, expected a refusal that says `{}`", case.says)),
            (Outcome::Refused, Err(error)) => refused(case, &error),
            (_, Err(error)) => Err(format!("refused: {error}")),
            (Outcome::Lowered | Outcome::Warned | Outcome::LoweredWindowed, Ok(loaded)) => {
                lowered(case, &loaded)
            }
            (Outcome::FeedForward, Ok(loaded)) => feed_forward(case, &loaded),
            (Outcome::Tract | Outcome::Windowed, Ok(loaded)) => not_lowered(&loaded),
        },
    );
}

fn refused(case: &Case, error: &Error) -> Result<(), String> {
    let is_expected = |part: &str| error.message.contains(part);
    let says = is_expected(&case.says) || (!cfg!(feature = "tract") && is_expected(WITHOUT_TRACT));
    if error.kind != ErrorKind::Load || !says {
        return Err(format!(
            "found {:?} `{}`, expected Load with `{}`",
            error.kind, error.message, case.says
        ));
    }
    let message = &error.message;
    let well_formed = !message.is_empty() && !message.contains('\n') && !message.ends_with('.');
    well_formed
        .then_some(())
        .ok_or_else(|| format!("the message is not one line without a full stop: `{message}`"))
}

fn lowered(case: &Case, loaded: &Loaded) -> Result<(), String> {
    let info = loaded.model.info();
    let understanding = &loaded.understanding;
    if let Some(why) = &understanding.not_lowered {
        return Err(format!("not lowered: {why}"));
    }
    let sizes: Vec<_> = understanding.layers.iter().map(|layer| layer.hidden_size).collect();
    if info.backend != Backend::Native || info.cell.is_none() || sizes != info.hidden_sizes {
        return Err(format!("found layers of sizes {sizes:?} in the model {info:?}"));
    }
    let window = case.hints().window;
    if case.outcome == Outcome::LoweredWindowed && window != Some(WindowHint::Len(info.state_len)) {
        return Err(format!("a state of {}, expected the ids of the window {window:?}", info.state_len));
    }
    let warnings = &understanding.warnings;
    let expected = match case.outcome {
        Outcome::Warned => warnings.iter().any(|warning| warning.contains(&case.says)),
        _ => warnings.is_empty(),
    };
    expected.then_some(()).ok_or_else(|| format!("warnings {warnings:?}, expected `{}`", case.says))
}

fn feed_forward(case: &Case, loaded: &Loaded) -> Result<(), String> {
    let info = loaded.model.info();
    let Understanding { not_lowered, warnings, inputs, .. } = &loaded.understanding;
    if info.backend != Backend::Native || info.cell.is_some() || not_lowered.is_some() || !warnings.is_empty()
    {
        return Err(format!("found {info:?}, {not_lowered:?}, {warnings:?}"));
    }
    let described = loaded.understanding.feed_forward.as_ref();
    let sizes: Option<Vec<usize>> =
        described.map(|network| network.hidden.iter().map(|layer| layer.size).collect());
    if sizes.as_ref() != Some(&info.hidden_sizes)
        || described.and_then(|network| network.window) != Some(info.state_len)
    {
        return Err(format!("described as {described:?}, found {info:?}"));
    }
    let len = info.state_len;
    let role = format!("the last {len} token ids");
    let is_window = matches!(case.hints().window, None | Some(WindowHint::Len(_)));
    match is_window && inputs.iter().any(|input| input.role.starts_with(&role)) {
        true => Ok(()),
        false => Err(format!("a state of {len}, and inputs {inputs:?}")),
    }
}

fn not_lowered(loaded: &Loaded) -> Result<(), String> {
    let why = loaded.understanding.not_lowered.as_deref().ok_or("lowered, expected tract")?;
    let expected = !why.is_empty() && loaded.model.info().backend == Backend::Tract;
    expected.then_some(()).ok_or_else(|| format!("not lowered for `{why}`, and {:?}", loaded.model.info()))
}
