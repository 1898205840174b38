//! The options as a table for the documentation.

use clap::Arg;

use super::options;

/// A Markdown table of all options with their environment variables, defaults and meanings.
pub fn markdown_table() -> String {
    let head = "| Option | Environment | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    options().iter().fold(head, |table, option| table + &row(option))
}

fn row(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default();
    let takes_value = option.get_action().takes_values();
    let value = names.first().filter(|_| takes_value).map(|name| format!(" {name}")).unwrap_or_default();
    let choices: Vec<String> = option
        .get_possible_values()
        .iter()
        .filter(|_| takes_value)
        .map(|choice| format!("`{}`", choice.get_name()))
        .collect();
    let choices = if choices.is_empty() { String::new() } else { format!(" ({})", choices.join(", ")) };
    format!(
        "| `--{}{value}` | `{}` | {} | {}{choices} |\n",
        option.get_long().unwrap_or_default(),
        option.get_env().unwrap_or_default().display(),
        default(option),
        option.get_help().unwrap_or_default(),
    )
}

fn default(option: &Arg) -> String {
    match option.get_default_values() {
        [] if !option.get_action().takes_values() => "off".to_owned(),
        [] => "none".to_owned(),
        values => values.iter().map(|value| format!("`{}`", value.display())).collect::<Vec<_>>().join(", "),
    }
}
