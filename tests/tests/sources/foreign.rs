//! A stream that knows nothing of this runtime, fed by another thread.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::mpsc as orders;
use std::thread;

use futures::channel::mpsc;

use super::Rig;

type Event = io::Result<usize>;

/// A channel of the futures crate.
pub(super) struct Channel(RefCell<Option<orders::Sender<Event>>>);

impl Rig for Channel {
    type Source = mpsc::UnboundedReceiver<Event>;

    const ENDS: bool = true;
    const ERROR: Option<ErrorKind> = Some(ErrorKind::Other);

    async fn new() -> (Rc<Self>, Self::Source) {
        let (sender, source) = mpsc::unbounded();
        let (orders, inbox) = orders::channel::<Event>();
        // It ends when there are no orders to come.
        thread::spawn(move || {
            for order in inbox {
                // A source that is gone takes nothing.
                let _ = sender.unbounded_send(order);
            }
        });
        (Rc::new(Channel(RefCell::new(Some(orders)))), source)
    }

    fn cause(&self, number: usize) {
        let orders = self.0.borrow();
        orders.as_ref().expect("it is open").send(Ok(number)).expect("the thread lives");
    }

    fn numbers(&self, event: Event) -> io::Result<Vec<usize>> {
        event.map(|number| vec![number])
    }

    fn close(&self) {
        self.0.take();
    }

    fn fail(&self) {
        let orders = self.0.take().expect("it is open");
        orders.send(Err(ErrorKind::Other.into())).expect("the thread lives");
    }
}
