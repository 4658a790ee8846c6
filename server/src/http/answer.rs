//! Answers: JSON, lines of JSON, and which of them a client takes.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::Problem;

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// The streaming format of Arrow IPC.
    Arrow,
}

impl Form {
    /// Returns the type that stands in headers.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Chooses the first of the client's forms that is among `offered`; the first of these where it takes any.
    pub(crate) fn choose(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let usual = offered.first().copied().unwrap_or(Self::Json);
        let mut asked = headers.get_all(header::ACCEPT).iter().peekable();
        if asked.peek().is_none() {
            return Ok(usual);
        }
        let texts = asked.filter_map(|value| value.to_str().ok());
        for range in texts.flat_map(|text| text.split(',')) {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if matches!(range.as_str(), "*/*" | "application/*") {
                return Ok(usual);
            }
            if let Some(form) = offered.iter().find(|form| form.media_type() == range) {
                return Ok(*form);
            }
        }
        let names: Vec<_> = offered.iter().map(|form| form.media_type()).collect();
        Err(Problem::not_acceptable(format!("this is answered as {}", names.join(" or "))))
    }
}

/// Answers with a JSON value.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    of(status, Form::Json.media_type(), Body::from(value.to_string()))
}

/// Answers with a body of a type.
pub(crate) fn of(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_both_know_is_chosen() {
        let choose = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Form::choose(&headers, &[Form::Json, Form::Ndjson]).ok()
        };
        assert_eq!(choose("*/*"), Some(Form::Json));
        assert_eq!(choose("text/html, application/x-ndjson;q=0.5"), Some(Form::Ndjson));
        assert_eq!(choose("Application/JSON; charset=utf-8"), Some(Form::Json));
        assert_eq!(choose("text/html"), None);
        assert_eq!(choose("application/vnd.apache.arrow.stream"), None);
        assert_eq!(Form::choose(&HeaderMap::new(), &[Form::Ndjson]).unwrap(), Form::Ndjson);
    }
}
