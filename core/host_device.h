// SPDX-License-Identifier: Apache-2.0
// LIMBECK_HD marks a function that host and device share.
#pragma once

#ifdef __CUDACC__
#define LIMBECK_HD __host__ __device__ inline
#else
#define LIMBECK_HD inline
#endif
