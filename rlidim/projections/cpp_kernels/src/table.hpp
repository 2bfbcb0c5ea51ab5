// All kernels of one instruction set; included inside its namespace.

#include "scratch.hpp"
#include "stream.hpp"

#include "gaussian.hpp"
#include "members.hpp"
#include "rademacher.hpp"
#include "kronecker.hpp"
#include "hadamard.hpp"
#include "stacked_fastfood.hpp"
#include "blocks.hpp"
#include "sparse.hpp"
#include "fastfood.hpp"
#include "networks.hpp"

template <class T> constexpr Kernels<T> kernels() {
    Kernels<T> table{};
    table.rademacher_table = rademacher_table<T>;
    table.rademacher_forward = rademacher_forward<T>;
    table.rademacher_members = rademacher_members<T>;
    table.rademacher_adjoint = rademacher_adjoint<T>;
    table.rademacher_members_adjoint = rademacher_members_adjoint<T>;
    table.rademacher_entries = rademacher_entries<T>;
    table.gaussian_forward = gaussian_forward<T>;
    table.gaussian_adjoint = gaussian_adjoint<T>;
    table.gaussian_members = gaussian_members<T>;
    table.gaussian_members_adjoint = gaussian_members_adjoint<T>;
    table.gaussian_squares = gaussian_squares<T>;
    table.gaussian_entries = gaussian_entries<T>;
    table.rotation_forward = rotation_forward<T>;
    table.rotation_adjoint = rotation_adjoint<T>;
    table.hashed_forward = hashed_forward<T>;
    table.hashed_adjoint = hashed_adjoint<T>;
    table.stacked_forward = stacked_forward<T>;
    table.stacked_adjoint = stacked_adjoint<T>;
    table.transform = whole_transform<T>;
    table.sparse_forward = sparse_forward<T>;
    table.sparse_adjoint = sparse_adjoint<T>;
    table.kronecker_forward = kronecker_forward<T>;
    table.kronecker_adjoint = kronecker_adjoint<T>;
    table.gather_scaled = gather_scaled<T>;
    table.scatter_scaled = scatter_scaled<T>;
    table.networks = networks<T>;
    return table;
}

const Kernels<float> single_precision = kernels<float>();
const Kernels<double> double_precision = kernels<double>();
