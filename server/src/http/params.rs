//! What stands behind the `?` of an address. What is not asked for is an error.

use std::str::FromStr;

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use super::Problem;

/// The parameters of a request that were not taken yet.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the parameters; `+` stands for a space.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let query = uri.query().unwrap_or_default();
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8().map(|text| text.into_owned());
            decoded
                .map_err(|_| Problem::invalid("a parameter is no UTF-8: percent-encode the bytes of UTF-8"))
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, Problem>>()?))
    }

    /// Takes a parameter that may be given several times.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(known, _)| known == name).map(|(_, value)| value).collect()
    }

    /// Takes a parameter that may be given once.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            count => {
                Err(Problem::invalid(format!("parameter `{name}` is given {count} times: give it once")))
            }
        }
    }

    /// Takes a parameter and reads it.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let read = |text: String| {
            text.parse().map_err(|error| Problem::invalid(format!("parameter `{name}`: `{text}`: {error}")))
        };
        self.text(name)?.map(read).transpose()
    }

    /// Takes a parameter that is true or false; without a value it is true.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => {
                Err(Problem::invalid(format!("parameter `{name}` is `{other}`: give true or false")))
            }
        }
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = name.escape_debug();
                Err(Problem::invalid(format!("there is no parameter `{name}` here: leave it out")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Problem> {
        Params::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_decoded_and_taken_once() {
        let mut it = params("a=b%20c+d&k=1&k=2&n=7&f&").unwrap();
        assert_eq!(it.text("a").unwrap().as_deref(), Some("b c d"));
        assert_eq!(it.all("k"), ["1", "2"]);
        assert_eq!(it.value::<u64>("n").unwrap(), Some(7));
        assert!(it.flag("f").unwrap() && !it.flag("g").unwrap());
        it.finish().unwrap();
    }

    #[test]
    fn what_nobody_asked_for_is_an_error() {
        assert!(params("limt=1").unwrap().finish().unwrap_err().message.contains("`limt`"));
        assert!(params("n=1&n=2").unwrap().text("n").is_err());
        assert!(params("n=x").unwrap().value::<u64>("n").is_err());
        assert!(params("f=maybe").unwrap().flag("f").is_err());
        assert!(params("a=%ff").is_err());
    }
}
