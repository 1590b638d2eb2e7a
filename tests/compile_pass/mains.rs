//! Every return type that `fn main` may have, attributes, and no warning.
#![deny(warnings, clippy::pedantic)]

mod unit {
    /// With a doc comment, and never called.
    #[aem::main]
    #[expect(unused_variables, reason = "lint levels reach the body")]
    pub async fn main() {
        let unused = 1;
    }
}

mod result {
    #[aem::main(workers = 1, backend = "epoll")]
    pub(crate) async fn main() -> Result<(), std::io::Error> {
        let bytes = std::fs::read("/dev/null")?;
        assert!(bytes.is_empty());
        Ok(())
    }
}

mod boxed {
    #[aem::main(backend = "auto",)]
    pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let _number: u8 = "7".parse()?;
        Err("inference works as without the attribute")?
    }
}

mod exit_code {
    use std::process::ExitCode;

    #[aem::main(backend = "io_uring")]
    pub async fn main() -> ExitCode {
        async {}.await;
        ExitCode::from(3)
    }
}

mod termination {
    #[aem::main]
    pub async fn main() -> impl std::process::Termination {
        std::process::ExitCode::SUCCESS
    }
}

mod never {
    #[aem::main]
    pub async fn main() -> ! {
        std::process::exit(4)
    }
}

mod renamed {
    mod house {
        pub(crate) use ::aem;
    }

    #[aem::main(crate = "crate::renamed::house::aem")]
    pub async fn main() {
        #![allow(dead_code)]
        // Shadowing what the expansion uses changes nothing.
        #[derive(Debug)]
        struct Result;
        let (runtime, error) = (Result, Result);
        println!("{runtime:?} {error:?}");
    }
}

fn main() {
    let _: [fn(); 2] = [unit::main, renamed::main];
    let _: fn() -> Result<(), std::io::Error> = result::main;
    let _: fn() -> Result<(), Box<dyn std::error::Error>> = boxed::main;
    let _: fn() -> std::process::ExitCode = exit_code::main;
    let _ = termination::main;
    let _: fn() -> ! = never::main;
}
