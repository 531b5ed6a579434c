//! What keeps a unit test from starting itself.

use goagain_env::{Launch, LaunchError, Launched, Next, Strategy, View};

/// The strategy of an isolated server for which no image was chosen. The running program is a test then. Started as the new
/// process it would run its tests again, this one too.
#[derive(Debug)]
pub(crate) struct Isolated(pub(crate) Box<dyn Strategy>);

impl Strategy for Isolated {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn launch(&mut self, _: Launch<'_>) -> Result<Launched, LaunchError> {
        Err(LaunchError::refused(
            "an isolated server does not start its own program: choose an image with `Builder::image`",
        ))
    }

    fn next(&self, view: View) -> Next {
        self.0.next(view)
    }
}
