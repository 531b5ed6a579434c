//! What keeps a unit test from starting itself.

use goagain_env::{Launch, LaunchError, Launched, Next, Strategy, View};

/// The strategy of an isolated server for which no image was chosen. The program that runs is a test then, and would, as
/// the new image, run its tests again, this one too.
#[derive(Debug)]
pub(crate) struct Isolated(pub(crate) Box<dyn Strategy>);

impl Strategy for Isolated {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn launch(&mut self, _: Launch<'_>) -> Result<Launched, LaunchError> {
        Err(LaunchError::refused(
            "an isolated server does not start the program that it runs in: choose an image by `Builder::image`",
        ))
    }

    fn next(&self, view: View) -> Next {
        self.0.next(view)
    }
}
