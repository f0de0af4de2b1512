//! Whose closure it is, as generic arguments tell.
//!
//! Line tables call a closure `{closure#0}`. The type of its captured variables has a path, and stands
//! in the names of generic functions: `fold<Range<usize>, app::load::{closure_env#0}>`.

/// The function whose closure `closure` is, if `caller`, a function that calls it, is generic over it.
pub(super) fn owner_by_caller<'n>(caller: &'n str, closure: &str) -> Option<&'n str> {
    let (kind, number) = kind(closure)?;
    only(paths_before(caller, &format!("::{{{kind}_env#{number}}}")))
}

/// The function whose closure `closure` is, if `callee`, a function that it calls, is generic over a
/// closure in it.
pub(super) fn owner_by_callee<'n>(callee: &'n str, closure: &str) -> Option<&'n str> {
    let (kind, number) = kind(closure)?;
    only(paths_before(callee, &format!("::{{{kind}#{number}}}::{{")))
}

/// `closure` and `0` of `{closure#0}<u8>`.
fn kind(closure: &str) -> Option<(&str, &str)> {
    let (inside, _) = closure.strip_prefix('{')?.split_once('}')?;
    inside.split_once('#')
}

/// The paths in `name` that `end` follows, those of the standard library left out.
fn paths_before<'n>(name: &'n str, end: &str) -> impl Iterator<Item = &'n str> {
    let ends: Vec<usize> = name.match_indices(end).map(|(at, _)| at).collect();
    let paths = ends.into_iter().map(|end| {
        let is_path = |letter: char| letter.is_alphanumeric() || "_:{}#".contains(letter);
        let start = name[..end].rfind(|letter| !is_path(letter));
        let start = start.map_or(0, |at| at + 1);
        &name[start..end]
    });
    paths.filter(|path| {
        let is_standard = |name: &str| {
            path.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(':'))
        };
        !path.is_empty() && !["core", "alloc", "std"].into_iter().any(is_standard)
    })
}

/// `None` if there is none, or they differ.
fn only<'n>(mut paths: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let first = paths.next()?;
    paths.all(|path| path == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_arguments_name_the_function_around_a_closure() {
        let fold = "fold<core::ops::range::Range<usize>, (), core::iter::adapters::map::map_fold::{closure_env#0}\
                    <usize, app::load::{async_fn#0}::{closure_env#0}>>";
        let owner = Some("app::load::{async_fn#0}");
        assert_eq!(owner_by_caller(fold, "{closure#0}"), owner);
        assert_eq!(owner_by_caller(fold, "{closure#1}"), None);
        assert_eq!(owner_by_callee(fold, "{async_fn#0}<u8>"), Some("app::load"));
        let block = "block<app::main::{async_block_env#0}>";
        assert_eq!(owner_by_caller(block, "{async_block#0}"), Some("app::main"));
        let method = "map<u8, app::shelf::{impl#1}::put::{closure_env#2}<u8>>";
        let owner = Some("app::shelf::{impl#1}::put");
        assert_eq!(owner_by_caller(method, "{closure#2}<u8>"), owner);
    }

    #[test]
    fn of_two_functions_none_is_chosen() {
        let both = "zip<app::a::{closure_env#0}, app::b::{closure_env#0}>";
        assert_eq!(owner_by_caller(both, "{closure#0}"), None);
        assert_eq!(owner_by_caller("push<u8>", "{closure#0}"), None);
        assert_eq!(owner_by_caller(both, "push"), None);
        assert_eq!(owner_by_caller("", "{closure#0}"), None);
    }
}
