trait Program {
    #[aem::main]
    async fn start();
}

fn main() {}
