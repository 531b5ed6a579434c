//! What does not compile says what to do.

#[test]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/not_a_strategy.rs");
    cases.compile_fail("tests/ui/unused.rs");
    if cfg!(not(feature = "double")) {
        cases.compile_fail("tests/ui/double_without_its_feature.rs");
    }
    if cfg!(not(feature = "single")) {
        cases.compile_fail("tests/ui/single_without_its_feature.rs");
    }
}
