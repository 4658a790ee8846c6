//! Names like a name.

use datafusion::common::utils::datafusion_strsim::levenshtein;

use crate::limits::SUGGESTIONS_MAX;

/// Returns the candidates that are most like `name`, best first.
///
/// Like means: equal but for case, containing one another, or few edits apart for their length.
pub(crate) fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .filter_map(|candidate| distance(&name, &candidate.to_lowercase()).map(|rank| (rank, candidate)))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(SUGGESTIONS_MAX);
    ranked.into_iter().map(|(_, candidate)| candidate.to_owned()).collect()
}

/// The distance of two names, or `None` when they are not alike.
fn distance(name: &str, candidate: &str) -> Option<usize> {
    let edits = levenshtein(name, candidate);
    let contained =
        name.len().min(candidate.len()) >= 3 && (name.contains(candidate) || candidate.contains(name));
    let few = edits <= (name.len().max(candidate.len()) / 3).max(1);
    (few || contained).then_some(edits)
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn the_most_similar_names_come_first() {
        let tables = ["flights", "flight_plans", "orders", "x"];
        assert_eq!(similar("fligths", tables), ["flights"]);
        assert_eq!(similar("flight", tables), ["flights", "flight_plans"]);
        assert_eq!(similar("ORDERS", tables), ["orders"]);
        assert!(similar("weather", tables).is_empty());
    }
}
