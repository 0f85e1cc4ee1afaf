//! What commands print: for people, or a JSON object a line.

use serde_json::Value;

/// A JSON object of these fields, in their order.
pub(crate) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{}:{value}", Value::from(key))).collect();
    format!("{{{}}}", fields.join(","))
}

/// Prints a line at once, even into a pipe. An output that nobody reads any more ends the program quietly.
pub(crate) fn line(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_texts_are_quoted() {
        assert_eq!(object([("b", "a\"b".into()), ("a", Value::Null)]), r#"{"b":"a\"b","a":null}"#);
    }
}
