//! The project's own code, for the tests that read it.

use std::path::PathBuf;
use std::{fs, io};

/// Returns the texts of all Rust files below these folders.
///
/// # Errors
/// - a folder or a file cannot be read.
pub fn below(folders: impl IntoIterator<Item = PathBuf>) -> io::Result<Vec<String>> {
    let mut folders: Vec<PathBuf> = folders.into_iter().collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path)?);
            }
        }
    }
    Ok(texts)
}
