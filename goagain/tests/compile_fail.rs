//! What does not compile says what to do. The compiler lists the strategies that there are: so the cases stand in a folder
//! for each set of features. `TRYBUILD=overwrite cargo test -p goagain --test compile_fail` pins the messages anew.

#[test]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/always/*.rs");
    match (cfg!(feature = "single"), cfg!(feature = "double")) {
        (true, true) => cases.compile_fail("tests/ui/both/*.rs"),
        (true, false) => cases.compile_fail("tests/ui/single_only/*.rs"),
        (false, true) => {}
        (false, false) => cases.compile_fail("tests/ui/none/*.rs"),
    }
}
