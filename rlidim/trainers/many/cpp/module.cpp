// The Python module: learners over numpy's arrays, which they keep alive, and what many do at once.
#include "learner.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace nb = nanobind;
using namespace rlidim::many;

namespace {

using Numbers = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Blocks = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Order = nb::ndarray<i32, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

struct InstructionSet {
    std::string name;
    const Kernels* kernels;
};

const std::vector<InstructionSet>& sets() {
    static const std::vector<InstructionSet> found = [] {
        std::vector<InstructionSet> all;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            all.push_back({"avx512", &avx512::kernels});
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            all.push_back({"avx2", &avx2::kernels});
#endif
        all.push_back({"portable", &portable::kernels});
        return all;
    }();
    return found;
}

std::size_t chosen = 0;

const Kernels& kernels() { return *sets()[chosen].kernels; }

void check(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(std::string(what) + " are of another size");
}

class PyLearner {
  public:
    PyLearner(std::vector<i64> sizes, bool tanh, bool gaussian, Numbers parameters, Numbers gradient,
              Numbers mean, Numbers square, i64 confined, std::optional<Numbers> theta_0,
              std::optional<Rows> P, std::optional<Numbers> theta_d, std::optional<Numbers> gradient_d,
              double entropy, double value, std::optional<double> longest, bool normalised,
              bool root_mean_square,
              double epsilon, bool critic)
        : actor_sizes_(sizes), critic_sizes_(sizes), parameters_(parameters), gradient_(gradient),
          mean_(mean), square_(square), theta_0_(theta_0), P_(P), theta_d_(theta_d),
          gradient_d_(gradient_d) {
        if (sizes.size() < 2 || *std::min_element(sizes.begin(), sizes.end()) < 1)
            throw std::invalid_argument("a network has a layer of inputs and one of outputs at least");
        if (gaussian && sizes.back() > MOST_PARTS)
            throw std::invalid_argument("an action has 64 parts at most");
        if (critic) critic_sizes_.back() = 1;
        else critic_sizes_.resize(1);  // no layer
        at_.actor = network(actor_sizes_, tanh);
        at_.critic = network(critic_sizes_, tanh);
        at_.gaussian = gaussian;
        at_.size = at_.actor.size + at_.critic.size + (gaussian ? sizes.back() : 0);
        at_.confined = confined;
        at_.d = theta_d ? i64(theta_d->shape(0)) : 0;
        const std::size_t size = std::size_t(at_.size), d = std::size_t(at_.d);
        const std::size_t moved = theta_d ? d + size - std::size_t(confined) : size;
        check(parameters.shape(0) == size && gradient.shape(0) == size, "parameters");
        check(mean.shape(0) == moved && square.shape(0) == moved, "moments");
        check(confined >= 0 && confined <= at_.size, "confined parameters");
        if (theta_d) {
            check(theta_0 && theta_0->shape(0) == std::size_t(confined), "theta_0's numbers");
            check(gradient_d && gradient_d->shape(0) == d, "gradient_d's numbers");
            check(!P || (P->shape(0) == d && P->shape(1) == std::size_t(confined)), "P's entries");
        }
        at_.parameters = parameters.data();
        at_.gradient = gradient.data();
        at_.mean = mean.data();
        at_.square = square.data();
        at_.theta_0 = theta_0 ? theta_0->data() : nullptr;
        at_.P = P ? P->data() : nullptr;
        at_.theta_d = theta_d ? theta_d->data() : nullptr;
        at_.gradient_d = gradient_d ? gradient_d->data() : nullptr;
        at_.entropy = float(entropy);
        at_.value = float(value);
        at_.longest = longest.value_or(std::numeric_limits<double>::infinity());
        at_.normalised = normalised;
        at_.root_mean_square = root_mean_square;
        at_.epsilon = float(epsilon);
        const i64 needed = std::max(scratch_size(at_.actor), scratch_size(at_.critic));
        scratch_.reset(new float[std::size_t(needed)]);
        at_.scratch = scratch_.get();
        told_.resize(sizes.front());
        at_.told = told_.data();
    }
    PyLearner(const PyLearner&) = delete;
    PyLearner& operator=(const PyLearner&) = delete;

    const Learner& at() const { return at_; }
    i64 inputs() const { return actor_sizes_.front(); }
    i64 outputs() const { return actor_sizes_.back(); }
    i64 parts() const { return at_.gaussian ? outputs() : 1; }

    void values(Rows observations, Numbers out) const {
        check(at_.critic.layers > 0, "critics");
        check_observations(observations, out.shape(0));
        kernels().values(at_, observations.data(), i64(out.shape(0)), out.data());
    }

    void log_probabilities(Rows observations, Rows actions, Numbers out) const {
        check_observations(observations, out.shape(0));
        check_actions(actions, out.shape(0));
        kernels().log_probabilities(at_, observations.data(), actions.data(), i64(out.shape(0)), out.data());
    }

    // Make the epochs over a rollout; return the steps made. Where P is not stored, `adjoint` and
    // `write` are called in the place of its products.
    i64 learn(Rows observations, Rows actions, Numbers advantages, Numbers returns, Numbers old, Order order,
              i64 batch, double rate, double factor, double clip, i64 steps, nb::object adjoint,
              nb::object write) const {
        const std::size_t count = observations.shape(0);
        check_observations(observations, count);
        check_actions(actions, count);
        check(advantages.shape(0) == count && returns.shape(0) == count && old.shape(0) == count &&
                  order.shape(1) == count && batch > 0, "a rollout's steps");
        const i32 *begin = order.data(), *end = begin + order.size();
        check(std::all_of(begin, end, [&](i32 at) { return at >= 0 && std::size_t(at) < count; }),
              "the minibatches' steps");
        check(at_.critic.layers > 0, "critics");
        i64 made = 0;
        for (std::size_t epoch = 0; epoch < order.shape(0); ++epoch)
            for (i64 first = 0; first < i64(count); first += batch) {
                kernels().differentiate(
                    at_, {observations.data(), actions.data(), advantages.data(), returns.data(), old.data(),
                          begin + epoch * count + first, minimum(batch, i64(count) - first), float(clip)});
                step({rate, factor, double(steps + ++made)}, adjoint, write);
            }
        return made;
    }

    // Move the actions' values towards the targets, minibatch after minibatch; return the steps made.
    i64 regress(Rows observations, Rows actions, Numbers targets, i64 batch, double rate, double factor,
                i64 steps, nb::object adjoint, nb::object write) const {
        const std::size_t count = targets.shape(0);
        check_observations(observations, count);
        check(actions.shape(0) == count && actions.shape(1) == 1 && batch > 0, "actions");
        const float *begin = actions.data(), *end = begin + count;
        check(std::all_of(begin, end, [&](float at) { return at >= 0 && at < float(outputs()); }),
              "actions");
        i64 made = 0;
        for (i64 first = 0; first < i64(count); first += batch) {
            kernels().regress(at_, {observations.data() + first * inputs(), actions.data() + first,
                                    targets.data() + first, minimum(batch, i64(count) - first)});
            step({rate, factor, double(steps + ++made)}, adjoint, write);
        }
        return made;
    }

    void greatest(Numbers parameters, Rows observations, Numbers out) const {
        check_observations(observations, out.shape(0));
        check(i64(parameters.shape(0)) >= at_.actor.size, "parameters");
        kernels().greatest(at_, parameters.data(), observations.data(), i64(out.shape(0)), out.data());
    }

    void write() const {
        if (at_.d > 0 && at_.P != nullptr) kernels().write(at_);
    }

    void check_observations(const Rows& rows, std::size_t count) const {
        check(rows.shape(0) == count && i64(rows.shape(1)) == inputs(), "observations");
    }

    void check_actions(const Rows& rows, std::size_t count) const {
        check(rows.shape(0) == count && i64(rows.shape(1)) == parts(), "actions");
    }

  private:
    void step(const Step& by, const nb::object& adjoint, const nb::object& write) const {
        const bool stored = at_.P != nullptr;
        if (at_.d > 0 && stored) kernels().adjoint(at_);
        else if (at_.d > 0) adjoint();
        kernels().step(at_, by);
        if (at_.d > 0 && stored) kernels().write(at_);
        else if (at_.d > 0) write();
    }

    static Network network(const std::vector<i64>& sizes, bool tanh) {
        i64 size = 0;
        for (std::size_t layer = 0; layer + 1 < sizes.size(); ++layer)
            size += (sizes[layer] + 1) * sizes[layer + 1];
        return {sizes.data(), i64(sizes.size()) - 1, size, *std::max_element(sizes.begin(), sizes.end()),
                tanh};
    }

    std::vector<i64> actor_sizes_, critic_sizes_;
    Numbers parameters_, gradient_, mean_, square_;
    std::optional<Numbers> theta_0_;
    std::optional<Rows> P_;
    std::optional<Numbers> theta_d_, gradient_d_;
    std::unique_ptr<float[]> scratch_;
    std::vector<i32> told_;
    Learner at_{};
};

// An action for each of a learner's rows: observations (learners, rows, inputs).
void act(const std::vector<const PyLearner*>& learners, Blocks observations, Blocks noise, Blocks actions) {
    const std::size_t rows = observations.shape(1);
    check(observations.shape(0) == learners.size() && noise.shape(0) == learners.size() &&
              actions.shape(0) == learners.size() && noise.shape(1) == rows && actions.shape(1) == rows,
          "observations");
    for (std::size_t r = 0; r < learners.size(); ++r) {
        const PyLearner& learner = *learners[r];
        const std::size_t inputs = observations.shape(2), parts = std::size_t(learner.parts());
        check(i64(inputs) == learner.inputs() && noise.shape(2) == parts && actions.shape(2) == parts,
              "observations");
        kernels().act(learner.at(), observations.data() + r * rows * inputs, noise.data() + r * rows * parts,
                      i64(rows), actions.data() + r * rows * parts);
    }
}

// The actors' outputs for rows of observations, of which the first counts[0] are the first learner's.
void outputs(const std::vector<const PyLearner*>& learners, const std::vector<i64>& counts, Rows observations,
             Rows out) {
    check(counts.size() == learners.size(), "counts");
    i64 first = 0;
    for (std::size_t r = 0; r < learners.size(); ++r) {
        const PyLearner& learner = *learners[r];
        check(counts[r] >= 0 && first + counts[r] <= i64(observations.shape(0)) &&
                  observations.shape(0) == out.shape(0) && i64(observations.shape(1)) == learner.inputs() &&
                  i64(out.shape(1)) == learner.outputs(), "observations");
        kernels().outputs(learner.at(), observations.data() + first * learner.inputs(), counts[r],
                          out.data() + first * learner.outputs());
        first += counts[r];
    }
}

}  // namespace

NB_MODULE(_learners, m) {
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const InstructionSet& set : sets()) names.push_back(set.name);
        return names;
    });
    m.def("use", [](const std::string& name) {
        for (std::size_t i = 0; i < sets().size(); ++i)
            if (sets()[i].name == name) {
                chosen = i;
                return;
            }
        throw std::invalid_argument("this processor has no instruction set '" + name + "'");
    });
    nb::class_<PyLearner>(m, "Learner")
        .def(nb::init<std::vector<i64>, bool, bool, Numbers, Numbers, Numbers, Numbers, i64,
                      std::optional<Numbers>, std::optional<Rows>, std::optional<Numbers>,
                      std::optional<Numbers>, double, double, std::optional<double>, bool, bool, double, bool>(),
             nb::kw_only(), nb::arg("sizes"), nb::arg("tanh"), nb::arg("gaussian"), nb::arg("parameters"),
             nb::arg("gradient"), nb::arg("mean"), nb::arg("square"), nb::arg("confined"),
             nb::arg("theta_0") = nb::none(), nb::arg("P") = nb::none(), nb::arg("theta_d") = nb::none(),
             nb::arg("gradient_d") = nb::none(), nb::arg("entropy"), nb::arg("value"),
             nb::arg("longest") = nb::none(), nb::arg("normalised"), nb::arg("root_mean_square"),
             nb::arg("epsilon"), nb::arg("critic"))
        .def("values", &PyLearner::values)
        .def("log_probabilities", &PyLearner::log_probabilities)
        .def("learn", &PyLearner::learn, nb::kw_only(), nb::arg("observations"), nb::arg("actions"),
             nb::arg("advantages"), nb::arg("returns"), nb::arg("old"), nb::arg("order"), nb::arg("batch"),
             nb::arg("rate"), nb::arg("factor"), nb::arg("clip"), nb::arg("steps"),
             nb::arg("adjoint") = nb::none(), nb::arg("write") = nb::none())
        .def("regress", &PyLearner::regress, nb::kw_only(), nb::arg("observations"), nb::arg("actions"),
             nb::arg("targets"), nb::arg("batch"), nb::arg("rate"), nb::arg("factor"), nb::arg("steps"),
             nb::arg("adjoint") = nb::none(), nb::arg("write") = nb::none())
        .def("greatest", &PyLearner::greatest)
        .def("write", &PyLearner::write);
    m.def("act", act);
    m.def("outputs", outputs);
}
