"""The same chain of ten trivial steps for Metaflow's local runner."""

from metaflow import FlowSpec, step


class OverheadFlow(FlowSpec):
    """Ten steps, one after another."""

    @step
    def start(self):
        self.value = 0
        self.next(self.b)

    @step
    def b(self):
        self.next(self.c)

    @step
    def c(self):
        self.next(self.d)

    @step
    def d(self):
        self.next(self.e)

    @step
    def e(self):
        self.next(self.f)

    @step
    def f(self):
        self.next(self.g)

    @step
    def g(self):
        self.next(self.h)

    @step
    def h(self):
        self.next(self.i)

    @step
    def i(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    OverheadFlow()
