//! The code of a source file without comments and literals.

extern crate silo_test_support as silo;

use silo::source::code;

#[silo::test]
fn comments_are_left_out() {
    assert_eq!(code("a // b\nc"), "a \nc");
    assert_eq!(code("//! b"), "");
    assert_eq!(code("a /* b /* c\n */ d */ e / f"), "a \n e / f");
    assert_eq!(code("a /*/ b */ c"), "a  c");
}

#[silo::test]
fn literals_are_emptied() {
    assert_eq!(code(r#"f("a // b", 'c')"#), r#"f("", '')"#);
    assert_eq!(
        code(r#"f("a\"b\\", '\'', '"', '\u{1f}')"#),
        r#"f("", '', '', '')"#
    );
    assert_eq!(code("\"a\nb\\\nc\" d"), "\"\n\n\" d");
    assert_eq!(code("b\"x\" c\"y\""), "b\"\" c\"\"");
}

#[silo::test]
fn raw_literals_are_emptied() {
    assert_eq!(code("f(r\"a\\\", b)"), "f(r\"\", b)");
    assert_eq!(code("r#\"a\"b\n\"# c"), "r\"\"\n c");
    assert_eq!(code("r##\"a\"#b\"## c"), "r\"\" c");
    assert_eq!(code("br\"a\" d"), "br\"\" d");
    assert_eq!(code("for x in r"), "for x in r");
}

#[silo::test]
fn lifetimes_and_labels_stay() {
    assert_eq!(
        code("fn f<'a>(x: &'a str, c: char) { 'b: loop {} }"),
        "fn f<'a>(x: &'a str, c: char) { 'b: loop {} }"
    );
}
